"""Say on a page what its numbers are.

That is of which version, how early, how late, and what they were computed from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

from lake.dashboard.sight import Shown, Sight
from lake.declare.days import Day
from lake.ownership.ledger import Entry, Ledger

__all__ = ["computed_from", "draw_lineage", "holds_nothing", "look_at"]


def look_at(sight: Sight, name: str) -> Shown:
    """Look at a table, and say on the page how fresh it is.

    Args:
        sight: of the lake.
        name: `layer.name`.
    """
    shown = sight.show(sight.environment.tables[name])
    if shown.snapshot.table.day is None:
        st.caption(f"{name}, version {shown.snapshot.version}")
    else:
        settled = shown.settled_through or "no day yet"
        st.caption(f"{name}, version {shown.snapshot.version} · settled through {settled}; later days are open: early")
    fresh = next((table.freshness for table in sight.report().tables if table.table == name), None)
    if fresh is not None and fresh.is_late:
        st.warning(fresh.text)
    return shown


def holds_nothing(shown: Shown, what: str) -> bool:
    """Tell whether a table holds no day yet, and say so on the page.

    Args:
        shown: of which table.
        what: its rows are about.
    """
    if not shown.held:
        st.info(f"no {what} is known yet; next: lakehouse refresh")
    return not shown.held


def draw_lineage(sight: Sight, shown: Shown, days: Iterable[Day]) -> None:
    """Say under a number what the days were computed from that it counts."""
    st.caption(computed_from(sight, shown, list(days)))


def computed_from(sight: Sight, shown: Shown, days: Collection[Day]) -> str:
    """Say from which versions of which inputs days were computed, and when.

    Of days that batch has not computed it says that a stream wrote them.
    """
    name = shown.snapshot.table.full_name
    known = Ledger(sight.environment.store).latest_by_table().get(name, {})
    entries = [known[day] for day in days if day in known and known[day].outcome != "failed"]
    held = [day for day in days if day in shown.snapshot.files]
    streamed = [day for day in held if day is not None and day not in shown.settled]
    said = [_batch(name, entries)] if entries else []
    if streamed:
        said.append(f"{_days(streamed)} open: early, as {name} holds it at version {shown.snapshot.version}")
    return "; ".join(said) or f"nothing says what {name} was computed from"


def _batch(name: str, entries: Sequence[Entry]) -> str:
    inputs: dict[str, list[Any]] = {}
    for entry in entries:
        for read, said in entry.inputs.items():
            inputs.setdefault(read, []).append(said)
    read = ", ".join(f"{one} {describe_input(said)}" for one, said in sorted(inputs.items())) or "nothing"
    times = sorted(entry.recorded_at for entry in entries)
    first, last = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (times[0], times[-1]))
    at = first if first == last else f"{first}..{last}"
    return f"{name} computed from {read} at {at} UTC"


def describe_input(said: Sequence[Any]) -> str:
    """Name the versions, or count the files, that some days read of an input."""
    if all(isinstance(one, int) for one in said):
        first, last = min(said), max(said)
        return f"version {first}" if first == last else f"versions {first}..{last}"
    files = {file for one in said if isinstance(one, Mapping) for file in _marks(one)}
    return "1 file" if len(files) == 1 else f"{len(files):,} files"


def _marks(files: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Tell files of one name apart, which lie in the folders of several days."""
    return ((name, str(mark)) for name, mark in files.items())


def _days(days: Sequence[date]) -> str:
    first, last = min(days), max(days)
    return f"{first} is" if first == last else f"{first}..{last} are"
