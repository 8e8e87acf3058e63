"""Draw how far streams were behind their events, from what their commits say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lake.dashboard.palette import SERIES
from lake.declare.table import Table
from lake.stream.input_events import lag_seconds
from lake.write.store import DeltaStore

__all__ = ["Lags", "draw_lags"]

_COMMITS = 200
"""So many of each stream are shown, the newest."""
_UNITS = (("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400))


@dataclass(frozen=True)
class Lag:
    """Hold the lag of a stream at one of its commits.

    Attributes:
        version: of its table.
        at: when, UTC.
        seconds: from the newest event that it had read; None where the commit does not say.
    """

    version: int
    at: datetime
    seconds: float | None


@dataclass
class Lags:
    """Read the lag of streams from their commits.

    Each commit is read once.

    Attributes:
        store: of the lake.
        now: gives the lake's clock.
    """

    store: DeltaStore
    now: Callable[[], datetime]
    _known: dict[str, tuple[str | None, list[Lag]]] = field(default_factory=dict, repr=False)

    def of(self, table: Table) -> Sequence[Lag]:
        """Return the lags of a table's newest commits by streams, oldest first."""
        log = self.store.table_log(table)
        newest, table_id = log.version(), log.table_id()
        known_id, known = self._known.get(table.full_name, (None, []))
        if known_id != table_id or newest is None or (known and known[-1].version > newest):
            known = []
        read = list(known)
        last = -1 if newest is None else newest
        for version in range(max(known[-1].version + 1 if known else 0, last - _COMMITS + 1), last + 1):
            commit = log.commit(version)
            if commit is not None:
                seconds = lag_seconds(table, commit, self.now()) if "generation" in commit.metadata else None
                read.append(Lag(version, commit.committed_at, seconds))
        self._known[table.full_name] = (table_id, read[-_COMMITS:])
        return [lag for lag in read[-_COMMITS:] if lag.seconds is not None]


def draw_lags(lags: Lags, tables: Sequence[Table]) -> None:
    """Draw the lag of some streams over time."""
    points: list[dict[str, Any]] = [
        {"at": lag.at, "seconds": lag.seconds, "table": table.full_name} for table in tables for lag in lags.of(table)
    ]
    if not points:
        st.caption("no commit of a stream says how old its newest event was")
        return
    frame = pd.DataFrame(points)
    unit, size = next((u for u in reversed(_UNITS) if frame["seconds"].median() >= 2 * u[1]), _UNITS[0])
    frame["lag"] = (frame["seconds"] / size).round(2)
    names = [table.full_name for table in tables]
    colours = alt.Scale(domain=names, range=[SERIES[place % len(SERIES)] for place in range(len(names))])
    legend = alt.Legend(orient="bottom", columns=2, labelLimit=260)
    encoded = {
        "x": alt.X("at:T", title="committed at, UTC", scale=alt.Scale(type="utc")),
        "y": alt.Y("lag:Q", title=f"{unit} behind its newest event"),
        "color": alt.Color("table:N", scale=colours, title=None, legend=legend),
        "shape": alt.Shape("table:N", scale=alt.Scale(domain=names), title=None, legend=legend),
        "tooltip": ["table", alt.Tooltip("at:T", format="%Y-%m-%d %H:%M:%S"), alt.Tooltip("lag:Q", title=unit)],
    }
    st.altair_chart(alt.Chart(frame).mark_line(point=alt.OverlayMarkDef(size=40)).encode(**encoded), width="stretch")
