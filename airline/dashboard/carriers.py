"""Draw how punctual carriers are, and on which routes flights arrive latest."""

from __future__ import annotations

import altair as alt
import streamlit as st

from airline.dashboard.network import last_days, longest_delays
from lake.dashboard.palette import BLUE
from lake.dashboard.seen import draw_lineage, holds_nothing, look_at
from lake.dashboard.sight import Sight

__all__ = ["carriers", "routes"]


def carriers(sight: Sight) -> None:
    """Draw how punctual carriers were over the last four known weeks."""
    st.title("Carriers")
    shown = look_at(sight, "gold.daily_carrier_performance")
    if holds_nothing(shown, "day"):
        return
    days = last_days(shown, 28)
    st.markdown(f"Flights of {days.start} to {days.last}")
    sums = sight.rows(shown, days).groupby("carrier", as_index=False).sum(numeric_only=True)
    sums["on time"] = (sums["arrivals_on_time"] / sums["flown"].where(sums["flown"] > 0)).round(3)
    bars = (
        alt.Chart(sums)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("on time:Q", axis=alt.Axis(format="%"), title="arrived less than 15 minutes late"),
            y=alt.Y("carrier:N", sort="-x", title=None),
            tooltip=["carrier", alt.Tooltip("on time:Q", format=".1%"), "flown", "cancelled", "diverted"],
        )
    )
    st.altair_chart(bars, width="stretch")
    said = sums.sort_values("on time", ascending=False).rename(columns=_in_words)
    order = ["carrier", "on time", *(name for name in said if name not in ("carrier", "on time"))]
    st.dataframe(
        said[order], hide_index=True, column_config={"on time": st.column_config.NumberColumn(format="percent")}
    )
    draw_lineage(sight, shown, days)


def _in_words(column: str) -> str:
    return column.replace("_minutes", ", minutes in all").replace("_", " ")


def routes(sight: Sight) -> None:
    """Draw the routes with the longest mean delay of arrivals.

    Over the last two weeks that are known.
    """
    st.title("Worst routes")
    shown = look_at(sight, "silver.flights")
    if holds_nothing(shown, "flight"):
        return
    days = last_days(shown, 14)
    flown = sight.rows(shown, days)
    st.markdown(f"Mean delay of arrivals, flights of {days.start} to {days.last}")
    least = st.slider("at least so many flights", 1, 50, 5, key="least")
    worst = longest_delays(flown, ["origin", "dest"], least, 20).rename(columns={"dest": "destination"})
    st.dataframe(worst, hide_index=True)
    draw_lineage(sight, shown, days)
