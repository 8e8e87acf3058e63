"""The airline's pages of the dashboard: the network now, carriers, and the worst routes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lake.dashboard.palette import BLUE, GREY, ORANGE
from lake.dashboard.sight import Shown, Sight, live
from lake.declare.days import Days

__all__ = ["carriers", "departures_by_hour", "network", "routes"]

SETTLED, EARLY = "settled", "open: early"


def network(_: Sight) -> None:
    """Draw departures by the hour.

    Hours of open days are marked as early, and a line shows what is sealed.
    """
    st.title("The network now")
    live(_draw_network)


def _draw_network(sight: Sight) -> None:
    shown = _look(sight, "gold.hourly_airport_performance")
    if not shown.held:
        st.info("no hour is known yet; next: lakehouse refresh")
        return
    hours = _last(sight, shown, 3)
    if airport := _choose(sorted(hours["airport"].unique())):
        hours = hours[hours["airport"] == airport]
    _draw_now(hours)
    _draw_hours(hours, shown)


def _look(sight: Sight, name: str) -> Shown:
    """Look at a table, and say on the page how fresh it is.

    That is as of when, and whether it is late.
    """
    shown = sight.show(sight.environment.tables[name])
    fresh = next(table.freshness for table in sight.report().tables if table.table == name)
    settled = shown.settled_through or "no day yet"
    st.caption(f"{name}, version {shown.snapshot.version} · settled through {settled}; later days are open: early")
    if fresh.is_late:
        st.warning(f"stale: {fresh.text}")
    return shown


def _last(sight: Sight, shown: Shown, days: int) -> pd.DataFrame:
    newest = shown.held[0]
    return sight.rows(shown, Days.between(newest - timedelta(days=days - 1), newest))


def _choose(airports: Sequence[str]) -> str | None:
    return st.selectbox("airport", airports, index=None, placeholder="all airports", key="airport")


def _draw_now(hours: pd.DataFrame) -> None:
    newest = hours[hours["hour_at"] == hours["hour_at"].max()]
    moved = int(newest["departures"].sum() + newest["arrivals"].sum())
    on_time = int(newest["departures_on_time"].sum() + newest["arrivals_on_time"].sum())
    st.markdown(f"Departures and arrivals of the newest hour, {newest['hour_at'].iloc[0]:%d %b %Y, %H:00} UTC")
    columns = st.columns(3)
    columns[0].metric("flights", moved)
    columns[1].metric("on time", f"{on_time / moved:.0%}" if moved else "–")
    columns[2].metric("worst delay, minutes", int(newest["worst_delay_minutes"].max()))


def departures_by_hour(hours: pd.DataFrame, settled: Collection[date]) -> pd.DataFrame:
    """Add up departures on time and late by the hour.

    Of each hour it says whether its day is settled.

    Args:
        hours: rows of `hourly_airport_performance`.
        settled: the days that are.
    """
    sums = hours.groupby(["hour_at", "hour_on"], as_index=False)[["departures", "departures_on_time"]].sum()
    sums["late"] = sums["departures"] - sums["departures_on_time"]
    sums["state"] = [SETTLED if day in settled else EARLY for day in sums["hour_on"]]
    sums["hour"] = sums["hour_at"].dt.strftime("%Y-%m-%d %H:00 UTC")
    long = sums.rename(columns={"departures_on_time": "on time"})
    return long.melt(["hour_at", "hour", "state"], ["on time", "late"], var_name="kind", value_name="flights")


def _draw_hours(hours: pd.DataFrame, shown: Shown) -> None:
    below = alt.Legend(orient="bottom")
    kinds, states = alt.Scale(domain=["on time", "late"], range=[BLUE, ORANGE]), alt.Scale(domain=[SETTLED, EARLY])
    states.range = [1.0, 0.45]
    encoded = {
        "x": alt.X("hour_at:T", title="hour, UTC", scale=alt.Scale(type="utc")),
        "y": alt.Y("flights:Q", title="departures"),
        "color": alt.Color("kind:N", scale=kinds, title=None, legend=below),
        "opacity": alt.Opacity("state:N", scale=states, title=None, legend=below),
        "tooltip": ["hour", "kind", "flights", "state"],
    }
    bars = alt.Chart(departures_by_hour(hours, shown.settled)).mark_bar().encode(**encoded)
    st.altair_chart(bars + _sealed_line(shown.settled_through), width="stretch")


def _sealed_line(through: date | None) -> Any:
    ends = [] if through is None else [pd.Timestamp(through + timedelta(days=1), tz="UTC")]
    end = pd.DataFrame({"at": ends, "said": "settled ←"})
    at = alt.X("at:T", scale=alt.Scale(type="utc"))
    rule = alt.Chart(end).mark_rule(color=GREY, strokeDash=[6, 4], size=2).encode(x=at)
    return rule + alt.Chart(end).mark_text(align="right", dx=-6, y=8, color=GREY).encode(x=at, text="said:N")


def carriers(sight: Sight) -> None:
    """Draw how punctual carriers were over the last four known weeks."""
    st.title("Carriers")
    shown = _look(sight, "gold.daily_carrier_performance")
    if not shown.held:
        st.info("no day is known yet; next: lakehouse refresh")
        return
    of_days = _last(sight, shown, 28)
    sums = of_days.groupby("carrier", as_index=False).sum(numeric_only=True)
    sums["on time"] = sums["arrivals_on_time"] / sums["flown"].where(sums["flown"] > 0)
    bars = (
        alt.Chart(sums)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X(
                "on time:Q", axis=alt.Axis(format="%"), title="arrivals less than 15 minutes late, of flights flown"
            ),
            y=alt.Y("carrier:N", sort="-x"),
            tooltip=["carrier", alt.Tooltip("on time:Q", format=".1%"), "flown", "cancelled", "diverted"],
        )
    )
    st.altair_chart(bars, width="stretch")
    st.dataframe(sums, hide_index=True)


def routes(sight: Sight) -> None:
    """Draw the routes with the longest mean delay of arrivals.

    Over the last two weeks that are known.
    """
    st.title("Worst routes")
    shown = _look(sight, "silver.flights")
    if not shown.held:
        st.info("no flight is known yet; next: lakehouse refresh")
        return
    flown = _last(sight, shown, 14)
    least = st.slider("at least so many flights", 1, 50, 5, key="least")
    delays = flown.groupby(["origin", "dest"])["arrival_delay_minutes"].agg(["count", "mean", "max"]).reset_index()
    worst = delays[delays["count"] >= least].sort_values("mean", ascending=False).head(20)
    names = {"count": "arrivals", "mean": "mean delay, minutes", "max": "longest delay, minutes"}
    st.dataframe(worst.rename(columns=names).round(1), hide_index=True)
