"""Draw the network now: departures by the hour."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lake.dashboard.palette import BLUE, GREY, ORANGE
from lake.dashboard.seen import draw_lineage, holds_nothing, look_at
from lake.dashboard.sight import Shown, Sight
from lake.declare.days import Days

__all__ = [
    "EARLY",
    "SETTLED",
    "departures_by_hour",
    "draw_hours",
    "last_days",
    "longest_delays",
    "network",
    "settled_until",
]

SETTLED, EARLY = "settled", "open: early"


def network(sight: Sight) -> None:
    """Draw departures by the hour.

    Hours of open days are marked as early, and a line shows what is sealed.
    """
    st.title("The network now")
    shown = look_at(sight, "gold.hourly_airport_performance")
    if holds_nothing(shown, "hour"):
        return
    days = last_days(shown, 3)
    hours = sight.rows(shown, days)
    if airport := _choose(sorted(hours["airport"].unique())):
        hours = hours[hours["airport"] == airport]
    _draw_now(hours)
    draw_hours(hours, shown)
    draw_lineage(sight, shown, days)


def last_days(shown: Shown, days: int) -> Days:
    """Return the newest days that a table holds."""
    newest = shown.held[0]
    return Days.between(max(newest - timedelta(days=days - 1), shown.held[-1]), newest)


def longest_delays(flights: pd.DataFrame, by: Sequence[str], least: int, most: int) -> pd.DataFrame:
    """Give the groups of flights with the longest mean delay of arrivals, the longest first.

    Args:
        flights: rows of `silver.flights`.
        by: the columns that name a group.
        least: arrivals that a group has to have.
        most: so many groups.
    """
    delays = flights.groupby(list(by))["arrival_delay_minutes"].agg(["count", "mean", "max"]).reset_index()
    order = {"mean": False, **dict.fromkeys(by, True)}
    worst = delays[delays["count"] >= least].sort_values(list(order), ascending=list(order.values())).head(most)
    names = {"count": "arrivals", "mean": "mean delay, minutes", "max": "longest delay, minutes"}
    return worst.rename(columns=names).round(1).reset_index(drop=True)


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


def draw_hours(hours: pd.DataFrame, shown: Shown) -> None:
    """Draw departures by the hour, and how far they are settled."""
    below, paler = alt.Legend(orient="bottom"), alt.Legend(orient="bottom", symbolFillColor=BLUE, symbolStrokeWidth=0)
    kinds, states = alt.Scale(domain=["on time", "late"], range=[BLUE, ORANGE]), alt.Scale(domain=[SETTLED, EARLY])
    states.range = [1.0, 0.45]
    encoded = {
        # By this unit a bar is as wide as its hour, and the first and the last are seen whole.
        "x": alt.X("hour_at:T", timeUnit="utcyearmonthdatehours", title="hour, UTC", axis=alt.Axis(format="%a %H:%M")),
        "y": alt.Y("flights:Q", title="departures"),
        "color": alt.Color("kind:N", scale=kinds, title=None, legend=below),
        "opacity": alt.Opacity("state:N", scale=states, title=None, legend=paler),
        "tooltip": ["hour", "kind", "flights", "state"],
    }
    bars = alt.Chart(departures_by_hour(hours, shown.settled)).mark_bar().encode(**encoded)
    until = settled_until(hours, shown.settled_through)
    st.altair_chart(bars if until is None else bars + _line_at(until), width="stretch")


def settled_until(hours: pd.DataFrame, through: date | None) -> datetime | None:
    """Give the moment up to which hours are settled, where it lies between some that are shown.

    Args:
        hours: rows of `hourly_airport_performance`.
        through: the newest settled day.
    """
    if through is None:
        return None
    until = datetime.combine(through + timedelta(days=1), time(), UTC)
    return until if hours["hour_at"].min() < until <= hours["hour_at"].max() else None


def _line_at(until: datetime) -> Any:
    end = pd.DataFrame({"at": [until], "said": "← settled | early →"})
    at = alt.X("at:T", scale=alt.Scale(type="utc"))
    rule = alt.Chart(end).mark_rule(color=GREY, strokeDash=[6, 4], size=2).encode(x=at)
    return rule + alt.Chart(end).mark_text(y=-8, color=GREY).encode(x=at, text="said:N")
