"""Write into docs/parity.md what its tests last compared: `python -m tests.every_table.parity_report`.

Each parity test leaves its outcome in pytest's cache. Outcomes of other tables than those that are declared now, or of
other versions of them, are not published.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lake.declare.table import Append, InsertNew, Latest, Table, Write
from tests.every_table.open_days import REASONS
from tests.every_table.parity import STREAMING, Outcome

__all__ = ["PUBLISHED", "record"]

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "parity.md"
REPEAT = ".venv/bin/python -m pytest -m soak -o timeout=3600 tests/every_table/test_parity.py"

Recorded = Mapping[str, Any]

SECTIONS = ("compared", "open days")
"""The parts of the page that are written here, each between two comments."""


def record(config: pytest.Config, way: str, outcome: Outcome) -> None:
    """Keep an outcome, until its test runs again."""
    assert config.cache is not None
    journey = outcome.journey
    found = {
        "way": way,
        "season": journey.season,
        "portions": journey.portions,
        "starts": outcome.starts,
        "lost": journey.loses,
        "seeds": outcome.seeds,
        "holds": outcome.holds,
        "batches": outcome.batches,
        "compared": {" ".join(place): number for place, number in outcome.compared.items()},
        "early": {" ".join(place): number for place, number in outcome.early.items()},
        "open": {" ".join(place): number for place, number in outcome.open_days.compared.items()},
        "early on open days": {" ".join(place): number for place, number in outcome.open_days.early.items()},
        "modes": outcome.modes,
        "kinds": outcome.kinds,
        "differences": outcome.differences,
        "tables": _declared(),
    }
    config.cache.set(f"parity/{way}-{journey.season}".replace(" ", "-"), found)


def _declared() -> dict[str, str]:
    return {table.full_name: table.code_version for table in STREAMING}


def main() -> None:
    """Write the page, or say what is missing."""
    files = sorted((ROOT / ".pytest_cache/v/parity").glob("*"))
    found: list[Recorded] = [json.loads(file.read_text()) for file in files]
    usable = [one for one in found if one["tables"] == _declared()]
    if not usable:
        sys.exit(f"no journey of these tables is recorded; first {REPEAT}")
    if failed := [f"{one['way']}, {one['season']}" for one in usable if one["differences"]]:
        sys.exit(f"lakes differ, nothing is published: {'; '.join(failed)}")
    page = PUBLISHED.read_text()
    for name, content in zip(SECTIONS, (compared(usable), open_days(usable)), strict=True):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, rest = page.split(begin)
        page = before + begin + content + end + rest.split(end)[1]
    PUBLISHED.write_text(page)


def compared(found: Sequence[Recorded]) -> str:
    """The part of the page that comes from these outcomes."""
    seeds = {seed for one in found for seed in one["seeds"]}
    messages = sum(one["holds"]["messages"] for one in found)
    tables = (
        ["table", "stream", "micro-batches", "stream = range", "days = range", "rows", "repaired", "rejects"],
        [_table_row(table, found) for table in STREAMING],
    )
    lakes = (
        ["way", "season", "seeds", "messages", "portions", "starts", "checkpoints lost"],
        [_lake_row(one) for one in found],
    )
    held = (["of the messages", "how often"], _held_rows(found))
    summary = f"Lakes: {len(found)}. Seeds: {len(seeds)}. Messages: {messages:,}. No table differs.\n"
    if not _seeds("day by day", found):
        summary += (
            "**The soak lane is not recorded yet**: this is what `make test-streams` compared, without day by day.\n"
        )
    return "\n".join(["", summary, *(_rows(heads, rows) for heads, rows in (tables, lakes, held))]) + "\n"


def open_days(found: Sequence[Recorded]) -> str:
    """What streams had left on open days, and for what reasons rows of it differed from batch."""
    heads = ["table", "rows on open days", "rejects", *REASONS, "without a reason"]
    rows = []
    for table in STREAMING:
        held = [sum(one["open"].get(f"{table.full_name} {what}", 0) for one in found) for what in ("rows", "rejects")]
        early = [sum(one["early on open days"].get(f"{table.full_name} {why}", 0) for one in found) for why in REASONS]
        rows.append([f"`{table.full_name}`", *held, *early, 0])
    return f"\nLakes: {len(found)}.\n\n{_rows(heads, rows)}\n"


def _table_row(table: Table, found: Sequence[Recorded]) -> list[object]:
    name = table.full_name
    rows, rejects = (sum(one["compared"][f"{name} {what}"] for one in found) for what in ("rows", "rejects"))
    return [
        f"`{name}`", f"{_write(table)}{found[0]['kinds'][name]}", sum(one["batches"][name] for one in found),
        _seeds("stream", found), _seeds("day by day", found) or "not yet",
        rows, sum(one["early"][f"{name} rows"] for one in found), rejects,
    ]  # fmt: skip


def _seeds(mode: str, found: Sequence[Recorded]) -> int:
    """How many seeds were compared with batch over one range in this mode."""
    return sum(len(one["seeds"]) for one in found if mode in one["modes"])


_WRITES: Mapping[type[Write], str] = {Append: "append", InsertNew: "insert", Latest: "newest of a key"}


def _write(table: Table) -> str:
    return _WRITES.get(type(table.write), "upsert")


def _lake_row(one: Recorded) -> list[object]:
    lost = ", ".join(one["lost"]) or "none"
    return [
        one["way"],
        one["season"],
        len(one["seeds"]),
        one["holds"]["messages"],
        one["portions"],
        one["starts"],
        lost,
    ]


def _held_rows(found: Sequence[Recorded]) -> list[list[object]]:
    total = sum((Counter(one["holds"]) for one in found), Counter[str]())
    return [[name, number] for name, number in sorted(total.items(), key=lambda item: (-item[1], item[0]))]


def _rows(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
