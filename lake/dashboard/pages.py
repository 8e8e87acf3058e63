"""Draw the pages that every lake has.

They show its operation, the quality of its data, and its tables day by day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lake.batch.rejected import rejected_rows
from lake.commands.status_report import DayRange, DueDays, StatusReport, StreamReport, TableReport
from lake.dashboard.lag import Lags, draw_lags
from lake.dashboard.palette import BLUE, GREY, ORANGE
from lake.dashboard.seen import draw_lineage, look_at
from lake.dashboard.sight import Shown, Sight, in_lines
from lake.declare.days import Days, in_order
from lake.declare.table import Table
from lake.declare.words import counted
from lake.ownership.ledger import Entry, Ledger

__all__ = ["browse", "operations", "quality"]

_ROWS = 1000
_SUMMED = {
    "rows in": "rows_in",
    "rows out": "rows_out",
    "rejected": "rejected",
    "duplicates": "duplicates",
    "disagreeing": "disagreeing",
}


def operations(sight: Sight) -> None:
    """Draw what is wrong, what is due, and how far the streams are."""
    st.title("Operations")
    report = sight.report()
    _draw_summary(report)
    for problem in report.problems:
        (st.error if problem.is_error else st.warning)(in_lines(str(problem)))
    if not report.problems:
        st.success("✓ nothing is wrong: every table is fresh, and no day is missing or stale")
    st.subheader("Tables")
    wide = dict.fromkeys(("missing", "stale", "why late"), st.column_config.Column(width="medium"))
    tables = [_of_table(table) for table in report.tables]
    st.dataframe(tables, hide_index=True, placeholder="", column_config=wide)
    st.subheader("Streams")
    if report.streams:
        st.dataframe([_of_stream(stream) for stream in report.streams], hide_index=True, placeholder="")
        st.subheader("Lag of the streams")
        draw_lags(_lags(sight), [sight.environment.tables[stream.table] for stream in report.streams])
    else:
        st.info("no table was ever followed; next: lakehouse follow")


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs={Sight: id})
def _lags(sight: Sight) -> Lags:
    return Lags(sight.environment.store, sight.environment.settings.now)


def _draw_summary(report: StatusReport) -> None:
    late = sum(table.freshness.is_late for table in report.tables)
    stalled = sum(stream.stalled is not None for stream in report.streams)
    opened = min((table.open_from for table in report.tables if table.open_from), default=None)
    st.caption(f"{report.tables_at}, as of {report.as_of[:16].replace('T', ' ')} UTC")
    columns = st.columns(4)
    columns[0].metric("problems", len(report.problems))
    columns[1].metric("late tables", f"{late} of {len(report.tables)}")
    columns[2].metric("stalled streams", f"{stalled} of {len(report.streams)}")
    columns[3].metric("open from", str(opened or "no day"))


def _of_table(table: TableReport) -> dict[str, Any]:
    return {
        "table": table.table,
        "state": "✗ late" if table.freshness.is_late else f"✓ {table.freshness.text}",
        "newest day": table.newest_day,
        "open from": table.open_from,
        "owner": table.owner,
        "missing": _due(table.missing),
        "stale": _due(table.stale),
        "why late": table.freshness.text if table.freshness.is_late else "",
    }


def _of_stream(stream: StreamReport) -> dict[str, Any]:
    return {
        "table": stream.table,
        "state": f"✗ {stream.stalled}" if stream.stalled else f"✓ {stream.state}",
        "lag, messages": stream.lag_messages,
        "lag, seconds": stream.lag_seconds,
        "rows per second": stream.rows_per_second,
        "watermark, UTC": (stream.watermark or "")[:16].replace("T", " "),
        "open from": stream.open_from,
        "error": stream.last_error,
    }


def _due(due: Sequence[DueDays] | None) -> str:
    if due is None:
        return "nobody knows: a log is damaged"
    return "; ".join(f"{', '.join(map(_span, one.days)) or 'the table'}: {one.reason}" for one in due)


def _span(days: DayRange) -> str:
    return str(days.first) if days.first == days.last else f"{days.first}..{days.last}"


def quality(sight: Sight) -> None:
    """Draw what was refused, what disagreed, and where numbers come from.

    For each number, what it was computed from.
    """
    st.title("Data quality")
    entries = Ledger(sight.environment.store).latest_by_table()
    known = {name: list(entries[name].values()) for name in sight.environment.tables if entries.get(name)}
    if not known:
        st.info("nothing was computed yet; next: lakehouse refresh")
        return
    counts = [_of_counts(name, found) for name, found in known.items()]
    with_commas = st.column_config.NumberColumn(format="localized")
    st.dataframe(counts, hide_index=True, column_config=dict.fromkeys(_SUMMED, with_commas))
    chosen = st.selectbox("table", list(known), key="quality_table")
    days = {entry.day: entry for entry in known[chosen]}
    if None not in days:
        _draw_counts(known[chosen])
    day = st.selectbox("day", in_order(days)[::-1], format_func=_day, key=f"quality_day_{chosen}")
    table = sight.environment.tables[chosen]
    _draw_lineage(sight, table, days[day])
    _draw_quarantine(sight, table, day)


def _day(day: date | None) -> str:
    return "the whole table" if day is None else str(day)


def _of_counts(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    sums = {said: sum(getattr(entry, what) for entry in entries) for said, what in _SUMMED.items()}
    failed = sum(entry.outcome == "failed" for entry in entries)
    computed = max(entry.recorded_at for entry in entries)
    return {"table": name, **sums, "failed days": failed, "computed, UTC": f"{computed:%Y-%m-%d %H:%M}"}


def _draw_counts(entries: Sequence[Entry]) -> None:
    kinds = ("rejected", "duplicates", "disagreeing")
    counts = [{"day": str(e.day), "rows": getattr(e, kind), "kind": kind} for e in entries for kind in kinds]
    if not any(one["rows"] for one in counts):
        st.success("✓ no row was rejected, and none came twice")
        return
    colours = alt.Scale(domain=list(kinds), range=[ORANGE, BLUE, GREY])
    chart = alt.Chart(pd.DataFrame(counts)).mark_line(point=True)
    below = alt.Legend(orient="bottom")
    shown = chart.encode(
        x=alt.X("day:T", title="day", axis=alt.Axis(format="%d %b %Y")),
        y=alt.Y("rows:Q", title="rows that were not kept"),
        color=alt.Color("kind:N", scale=colours, title=None, legend=below),
        shape=alt.Shape("kind:N", title=None, legend=below),
        tooltip=["day", "kind", "rows"],
    )
    st.altair_chart(shown, width="stretch")


def _draw_lineage(sight: Sight, table: Table, entry: Entry) -> None:
    st.markdown(
        f"**{entry.outcome}** as version {entry.version}: {counted(entry.rows_in, 'row')} in = "
        f"{entry.rows_out:,} out + {entry.rejected:,} rejected + {entry.duplicates:,} duplicates, "
        f"in {entry.seconds:.1f} s, by code `{entry.code_version[:12]}`"
        + (f", run `{entry.run_id}`." if entry.run_id else ".")
    )
    draw_lineage(sight, sight.show(table), [entry.day])


def _draw_quarantine(sight: Sight, table: Table, day: date | None) -> None:
    rejected = rejected_rows(sight.environment.store, table, [day], limit=50)
    if rejected:
        st.subheader("In quarantine")
        st.dataframe(rejected, hide_index=True, column_order=["rules", "raw", "row"])
    else:
        st.caption("nothing of it is in quarantine")


def browse(sight: Sight) -> None:
    """The rows of a table, day by day."""
    st.title("Tables")
    name = st.selectbox("table", list(sight.environment.tables), key="browse_table")
    table = sight.environment.tables[name]
    st.markdown(table.description)
    shown = look_at(sight, name)
    st.caption(f"owner {table.owner} · key {', '.join(table.key)}")
    days = _choose_day(table, shown)
    rows = sight.rows(shown, days, _ROWS)
    described = {c.name: st.column_config.Column(help=c.description) for c in table.contract.stored}
    st.dataframe(rows, hide_index=True, column_config=described)
    st.caption(f"{len(rows):,} rows" + (f"; the first {_ROWS:,} are shown" if len(rows) == _ROWS else ""))
    draw_lineage(sight, shown, [None] if days is None else days)


def _choose_day(table: Table, shown: Shown) -> Days | None:
    if table.day is None:
        return None
    if not shown.held:
        st.info("it holds no rows")
        return None
    names = {day: str(day) if day in shown.settled else f"{day} (open: early)" for day in shown.held}
    day = st.selectbox("day", shown.held, format_func=lambda one: names[one], key=f"day_{table.name}")
    if day not in shown.settled:
        st.warning(f"{day} is open: late rows may be missing. Settled through {shown.settled_through or 'no day yet'}.")
    return Days.of(day)
