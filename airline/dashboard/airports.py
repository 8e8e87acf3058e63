"""Draw one airport: the hours of a day, its delays over weeks, and the destinations that are worst."""

from __future__ import annotations

from datetime import date

import altair as alt
import pandas as pd
import streamlit as st

from airline.dashboard.network import departures_by_hour, draw_hours, last_days, longest_delays
from lake.dashboard.palette import BLUE, ORANGE
from lake.dashboard.seen import draw_lineage, holds_nothing, look_at
from lake.dashboard.sight import Shown, Sight
from lake.declare.days import Days

__all__ = ["airports", "delays_by_day", "worst_destinations"]

_WEEKS = 4


def airports(sight: Sight) -> None:
    """Draw the airport that is chosen."""
    st.title("Airports")
    shown = look_at(sight, "gold.hourly_airport_performance")
    if holds_nothing(shown, "hour"):
        return
    weeks = last_days(shown, 7 * _WEEKS)
    hours = sight.rows(shown, weeks)
    left, right = st.columns(2)
    busiest = hours.groupby("airport")["departures"].sum().sort_values(ascending=False).index
    airport = left.selectbox("airport, the busiest first", list(busiest), key="airports_airport")
    days = [day for day in shown.held if day in weeks]
    day = right.selectbox("day", days, format_func=lambda one: _day(one, shown), key="airports_day")
    hours = hours[hours["airport"] == airport]
    _draw_day(hours[hours["hour_on"] == day], day, shown)
    draw_lineage(sight, shown, [day])
    st.subheader(f"Mean delays at {airport}, {weeks.start} to {weeks.last}")
    _draw_delays(delays_by_day(hours))
    draw_lineage(sight, shown, weeks)
    st.subheader(f"Worst destinations from {airport}")
    _draw_destinations(sight, airport, weeks)


def _day(day: date, shown: Shown) -> str:
    return str(day) if day in shown.settled else f"{day} (open: early)"


def _draw_day(hours: pd.DataFrame, day: date, shown: Shown) -> None:
    if not departures_by_hour(hours, shown.settled)["flights"].sum():
        st.info(f"no flight left on {day}")
        return
    columns = st.columns(4)
    left, on_time = int(hours["departures"].sum()), int(hours["departures_on_time"].sum())
    arrived = int(hours["arrivals"].sum())
    columns[0].metric("departures", left)
    columns[1].metric("left on time", f"{on_time / left:.0%}")
    columns[2].metric("arrivals", arrived)
    columns[3].metric("worst delay, minutes", int(hours["worst_delay_minutes"].max()))
    draw_hours(hours, shown)


def delays_by_day(hours: pd.DataFrame) -> pd.DataFrame:
    """Give the mean delay of departures and of arrivals of each day.

    Args:
        hours: rows of `hourly_airport_performance` of one airport.
    """
    sums = hours.groupby("hour_on", as_index=False).sum(numeric_only=True)
    long = [
        pd.DataFrame(
            {
                "day": sums["hour_on"].astype(str),
                "kind": kind,
                "minutes": (sums[f"{one}_delay_minutes"] / sums[kind].where(sums[kind] > 0)).round(1),
            }
        )
        for kind, one in (("departures", "departure"), ("arrivals", "arrival"))
    ]
    return pd.concat(long).dropna(subset="minutes").reset_index(drop=True)


def _draw_delays(delays: pd.DataFrame) -> None:
    kinds, below = alt.Scale(domain=["departures", "arrivals"], range=[BLUE, ORANGE]), alt.Legend(orient="bottom")
    encoded = {
        "x": alt.X("day:T", title="UTC day", axis=alt.Axis(format="%d %b")),
        "y": alt.Y("minutes:Q", title="mean delay, minutes"),
        "color": alt.Color("kind:N", scale=kinds, title=None, legend=below),
        "shape": alt.Shape("kind:N", title=None, legend=below),
        "tooltip": ["day", "kind", "minutes"],
    }
    st.altair_chart(alt.Chart(delays).mark_line(point=alt.OverlayMarkDef(size=45)).encode(**encoded), width="stretch")


def _draw_destinations(sight: Sight, airport: str, weeks: Days) -> None:
    shown = look_at(sight, "silver.flights")
    worst = worst_destinations(sight.rows(shown, weeks, equal={"origin": airport}))
    if worst.empty:
        st.info(f"no flight from {airport} is known in these days")
        return
    st.dataframe(worst, hide_index=True)
    draw_lineage(sight, shown, weeks)


def worst_destinations(flights: pd.DataFrame, least: int = 5) -> pd.DataFrame:
    """Give the ten destinations with the longest mean delay of arrivals.

    Args:
        flights: rows of `silver.flights`.
        least: arrivals that a destination has to have.
    """
    return longest_delays(flights, ["dest"], least, 10).rename(columns={"dest": "destination"})
