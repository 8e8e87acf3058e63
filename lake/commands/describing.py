"""Describe one table or feed: declaration, lineage and what it holds.

Needs no JVM.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from lake.commands.catalog import checks_of, facts_of, meaning_of, name_of, runs_as
from lake.commands.column_text import made_of, rows_decided_by
from lake.commands.json_output import VERSION, in_json, print_json
from lake.declare.days import Days
from lake.declare.feed import Feed, TopicFeed
from lake.declare.graph import readers_of, upstream_of
from lake.declare.table import Table
from lake.declare.words import counted
from lake.errors import UnknownTable
from lake.project.environment import Environment
from lake.project.known_lineage import known_lineage
from lake.storage.landing import Landing

__all__ = ["Description", "describe", "print_description"]

_EXAMPLE_BYTES = 2000
_SHOWN_DAYS = 12


@dataclass(frozen=True)
class Description:
    """Hold all that `lakehouse describe` says.

    Attributes:
        name: `layer.name`, or the name of a feed.
        about: the docstring or description.
        facts: of the declaration, by name.
        comes_from: everything that it is computed from, feeds first.
        used_by: everything that is computed from it.
        columns: name, type, whether null is allowed, meaning, checks, and of which columns of its inputs it is made;
            nothing where no run has found it yet, "not exact" where the plan of the transform does not say it.
        rows_by_day: how many rows each day holds; one without day where a table has none.
        example: a row of the newest day, or the first line of the newest file; values as of `lakehouse sql --json`.
        version: of all reports in JSON.
    """

    name: str
    about: str
    facts: Mapping[str, str]
    comes_from: Sequence[str] = ()
    used_by: Sequence[str] = ()
    columns: Sequence[Mapping[str, str]] = ()
    rows_by_day: Mapping[str, int] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)
    version: int = VERSION


def describe(environment: Environment, name: str) -> Description:
    """Describe the table or the feed of a name.

    A feed that is called like a table is named `feeds.name`.

    Raises:
        UnknownTable: neither a table nor a feed has the name, or several tables.
        DeclarationError: the file of that table is broken.
    """
    feeds = environment.feeds
    wanted = name.removeprefix("feeds.")
    if wanted in feeds and (wanted != name or not _is_table(environment, name)):
        return _describe_feed(environment, feeds[wanted])
    try:
        return _describe_table(environment, environment.table(name))
    except UnknownTable as error:
        raise UnknownTable(name, [*error.known, *_near(name, feeds)], error.problem) from None


def _is_table(environment: Environment, name: str) -> bool:
    return any(name in (table.full_name, table.name) for table in environment.tables.values())


def _near(name: str, feeds: Collection[str]) -> list[str]:
    return get_close_matches(name, feeds)


def _describe_table(environment: Environment, table: Table) -> Description:
    store = environment.store
    lineage = known_lineage(environment.settings.home, table)
    log = store.log(store.path(table))
    rows = {str(day): count for day, count in sorted(log.rows_by_day(table.day).items())} if table.day else {}
    if not table.day and log.version() is not None:
        rows = {"whole": log.rows()}
    newest = f" WHERE {table.day} = DATE '{max(rows)}'" if table.day and rows else ""
    example = log.query(f"SELECT * FROM stored{newest} LIMIT 1")
    return Description(
        name=table.full_name,
        about=table.description,
        facts={
            **facts_of(table),
            "runs as": runs_as(table),
            **({"rows are decided by": rows_decided_by(lineage)} if lineage else {}),
        },
        comes_from=[name_of(source) for source in upstream_of(table)],
        used_by=_readers(environment, table),
        columns=[
            {
                "column": column.name,
                "type": column.dtype.simpleString(),
                "null": "yes" if column.nullable else "no",
                "meaning": meaning_of(column),
                "checks": checks_of(table, column),
                "from": made_of(lineage, column.name) if lineage and column.stored else "",
            }
            for column in table.contract.columns
        ],
        rows_by_day=rows,
        example=in_json(example[0]) if example else {},
    )


def _readers(environment: Environment, source: Table | Feed) -> list[str]:
    found = readers_of([source], environment.tables.values())
    return [table.full_name for table in environment.tables.values() if table in found]


def _describe_feed(environment: Environment, feed: Feed) -> Description:
    landing = environment.store.landing
    days = landing.days(feed)
    return Description(
        name=f"feed {feed.name}",
        about=feed.description,
        facts={
            "kind": "topic; its archive is files of JSON lines" if isinstance(feed, TopicFeed) else "files",
            "delivers": str(feed.delivers),
            "lands in": landing.layout(feed),
            "landed": f"{counted(len(days), 'day')} of {Days.between(days[0], days[-1])}" if days else "nothing yet",
        },
        used_by=_readers(environment, feed),
        columns=[{"column": one.name, "type": one.dataType.simpleString()} for one in feed.schema.fields],
        # Files are counted by reading them, so only the newest.
        rows_by_day={str(day): landing.count_rows(feed, day) for day in days[-_SHOWN_DAYS:]},
        example=_first_line(landing, feed, days[-1]) if days else {},
    )


def _first_line(landing: Landing, feed: Feed, day: date) -> dict[str, str]:
    """Read the beginning of the newest day's first file."""
    for name, landed in sorted(landing.files(feed, day).items()):
        if landed.path.is_dir():  # the Delta table of another team
            return {}
        with landed.path.open("rb") as file:
            line = file.readline(_EXAMPLE_BYTES).rstrip(b"\r\n")
        text = f"(binary, {landed.size:,} bytes)" if b"\0" in line else line.decode(errors="replace")
        return {"file": f"{landed.path.parent.name}/{name}", "first line": text}
    return {}


def print_description(out: Console, said: Description, *, as_json: bool) -> None:
    """Print for people, or as one JSON object for programs."""
    if as_json:
        print_json(out, said)
        return
    out.print(said.name, style="bold", markup=False)
    out.print(f"{said.about}\n", markup=False, soft_wrap=True)
    _print_pairs(out, said.facts)
    _print_pairs(out, {"comes from": ", ".join(said.comes_from), "used by": ", ".join(said.used_by)})
    out.print()
    _print_columns(out, said.columns)
    out.print(f"\nrows: {_spell_days(said.rows_by_day)}", markup=False, soft_wrap=True)
    if said.example:
        out.print("example:")
        _print_pairs(out, {f"  {name}": str(value) for name, value in said.example.items()})


def _print_pairs(out: Console, pairs: Mapping[str, str]) -> None:
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        if value:
            out.print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)


def _print_columns(out: Console, columns: Sequence[Mapping[str, str]]) -> None:
    grid = Grid(box=None, pad_edge=False)
    for title in columns[0] if columns else ():
        grid.add_column(title, overflow="fold")
    for column in columns:
        grid.add_row(*(value.replace("[", r"\[") for value in column.values()))
    out.print(grid)


def _spell_days(rows: Mapping[str, int]) -> str:
    if not rows:
        return "none yet"
    if "whole" in rows:
        return f"{rows['whole']:,}"
    days = [date.fromisoformat(day) for day in rows]
    newest = ", ".join(f"{day}: {count:,}" for day, count in list(rows.items())[-_SHOWN_DAYS:])
    return f"{sum(rows.values()):,} on {len(days):,} days of {Days.between(days[0], days[-1])}; {newest}"
