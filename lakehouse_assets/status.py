"""What `lakehouse status` and `lakehouse quarantine` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from deltalake import DeltaTable
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from lake.days import Days
from lake.freshness import Freshness, judge_freshness
from lake.plan import Survey, TableState
from lake.progress import read_statuses
from lakehouse_assets.environment import Environment

__all__ = ["print_quarantine", "print_status"]

Day = date | None


def print_status(console: Console, environment: Environment, names: Sequence[str], *, verbose: bool) -> bool:
    """Print one line per table; returns whether every table is fresh and has neither missing nor stale days."""
    settings, survey = environment.settings, environment.survey()
    now = settings.now()
    grid = Grid(box=None, pad_edge=False)
    for title in ("table", "newest day", "days", "rows", "rejected", "missing", "stale", "freshness", "owner"):
        is_number = title in ("days", "rows", "rejected", "missing", "stale")
        whole = title != "freshness"  # the one text that may be long, so the one that may wrap
        grid.add_column(title, no_wrap=whole, justify="right" if is_number else "left")
    healthy = True
    chosen = environment.choose(names)
    for table in chosen:
        state = survey.states[table.full_name]
        freshness = judge_freshness(table, _newest_recorded(state), now, settings.calendar()) if table.day else None
        healthy = healthy and not (state.missing or state.stale or (freshness and freshness.is_late))
        grid.add_row(table.full_name, *_cells(state, freshness), table.owner)
    console.print(f"{settings.tables}, as of {now:%Y-%m-%d %H:%M} UTC")
    console.print(grid)
    for table in chosen if verbose else ():
        _print_reasons(console, survey.states[table.full_name])
    _print_streams(console, environment, survey)
    if any(survey.states[t.full_name].missing or survey.states[t.full_name].stale for t in chosen):
        console.print("next: [bold]lakehouse refresh[/] brings everything up to date")
    return healthy


def _print_streams(console: Console, environment: Environment, survey: Survey) -> None:
    """A line per stream, and which days are open; nothing where no stream ever ran."""
    frontier = survey.frontier
    if frontier is None:
        return
    owner = f"streams own days from {frontier.first_open} on" if frontier.claimed else "released: batch owns every day"
    console.print(f"\nstreams: {owner}; bronze is followed from landing day {frontier.stream_from} on")
    grid = Grid(
        "stream", "state", "open from", "watermark", "lag messages", "lag s", "rows/s", box=None, pad_edge=False
    )
    for name, stream in read_statuses(environment.settings.home / "streams").items():
        cells = (stream.first_open, stream.watermark, stream.lag_messages, stream.lag_seconds, stream.rows_per_second)
        grid.add_row(name, stream.state, *("-" if cell is None else str(cell) for cell in cells))
        if stream.last_error:
            grid.add_row("", f"[red]{escape(stream.last_error.splitlines()[0])}[/]")
    console.print(grid)


def _newest_recorded(state: TableState) -> date | None:
    return max((day for day, entry in state.entries.items() if day and entry.outcome != "failed"), default=None)


def _cells(state: TableState, freshness: Freshness | None) -> list[str]:
    entries = state.entries.values()
    failed = [entry for entry in entries if entry.outcome == "failed"]
    late = freshness is not None and freshness.is_late
    return [
        str(state.newest_day or "-"),
        f"{len(state.entries) - len(failed):,}" if state.table.day else "whole",
        f"{sum(entry.rows_out for entry in entries):,}",
        _warn(sum(entry.rejected for entry in entries)),
        _warn(len(state.missing)),
        _warn(len(state.stale)),
        "-" if freshness is None else f"[red]{freshness}[/]" if late else f"[green]{freshness}[/]",
    ]


def _warn(count: int) -> str:
    return f"[yellow]{count:,}[/]" if count else "0"


def _print_reasons(console: Console, state: TableState) -> None:
    for kind, reasons in (("missing", state.missing), ("stale", state.stale)):
        for reason, days in _by_reason(reasons).items():
            console.print(f"{state.table.full_name}: {kind} {_spell(days)}: {reason}")
    if state.older_code:
        console.print(f"{state.table.full_name}: computed by older code {_spell(state.older_code)}")


def _by_reason(reasons: Mapping[Day, str]) -> dict[str, list[Day]]:
    found: dict[str, list[Day]] = {}
    for day, reason in reasons.items():
        found.setdefault(reason, []).append(day)
    return found


def _spell(days: Iterable[Day]) -> str:
    ranges = Days.ranges(day for day in days if day)
    return ", ".join(map(str, ranges)) or "the whole table"


def print_quarantine(console: Console, environment: Environment, name: str, days: Days | None, limit: int) -> None:
    """Print how many rows broke each rule, then some of them."""
    (table,) = environment.choose([name])
    rows = _quarantined(environment, environment.store.quarantine_path(table), days)
    console.print(f"{table.full_name}: {len(rows):,} rows in quarantine" + (f" for {days}" if days else ""))
    rules = Counter(rule for row in rows for rule in row["rules"])
    grid = Grid("rule", "rows", box=None)
    for rule, count in rules.most_common():
        grid.add_row(rule, f"{count:,}")
    if rules:
        console.print(grid)
    for row in rows[:limit]:
        console.print(f"[dim]{row['day']}[/] {escape(', '.join(row['rules']))}\n  {escape(row['raw'] or row['row'])}")
    if len(rows) > limit:
        console.print(
            f"... {len(rows) - limit:,} more: --limit {len(rows)}, or query quarantine.{table.layer}_{table.name}"
        )


def _quarantined(environment: Environment, path: str, days: Days | None) -> list[dict[str, Any]]:
    log = environment.store.log(path)
    if log.version() is None:
        return []
    rows = DeltaTable(log.location, storage_options=dict(log.options)).to_pyarrow_table().to_pylist()
    chosen = [row for row in rows if days is None or row["day"] in days]
    return sorted(chosen, key=lambda row: (str(row["day"]), row["row"]))
