"""Run the demonstration behind `make demo`.

It shows a month of real flights, a mishap, the repair, and the results.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from airline.live_act import LIVE_DAYS, run_live_act
from airline.replay import FlightKey, deliver_late
from airline.replaying import replay_with_progress
from lake.batch.plan import Step
from lake.commands.publishing import publish_sinks
from lake.commands.query import connect
from lake.commands.refreshing import print_result
from lake.declare.days import Days
from lake.errors import LakeError, Message
from lake.orchestration.refresher import Refresher
from lake.orchestration.results import TableResult
from lake.project.environment import Environment, open_environment
from lake.serve.target import open_target

__all__ = ["run_demo"]

LANDING_DAYS = Days.parse("2012-12-31..2013-02-02")
"""Everything that an airline receives about the flights of January 2013: timetables land the day before, the last
arrivals two days after."""
JANUARY = Days.parse("2013-01-01..2013-01-31")
OLD_DAYS = Days.parse("2013-01-11..2013-01-12")
"""The two days of which some messages come three weeks late."""
DELIVERED_ON = date(2013, 2, 3)
RERUN_DAY = Days.parse("2013-01-20")
MARKER = "made-by-demo"
"""A file in the home folder of a lake that a demonstration began with, and may empty."""
LATE, DUPLICATES, MALFORMED, SEED = 0.002, 0.005, 0.002, 2013


class NoDemoMadeThisError(LakeError, runbook="docs/runbook.md#the-example-refuses"):
    """The demonstration starts over in an empty lake, and this one is somebody's own.

    Attributes:
        home: the folder.
    """

    home: str

    def message(self) -> Message:
        return Message(
            f"lakehouse demo in {self.home}",
            "it would start over, and this folder holds a lake that no demo made; nothing was removed",
            "choose another folder (LAKEHOUSE_HOME=demo lakehouse demo), or keep what is there (lakehouse demo --keep)",
        )


def run_demo(console: Console, *, keep: bool) -> int:
    """Run the demonstration here and return the exit code of the command."""
    environment = open_environment()
    if not keep:
        _start_over(environment.settings.home)
    environment.settings.make_folders()
    if not keep:  # a lake that is kept may be somebody's own, and stays so
        (environment.settings.home / MARKER).touch()
    with Refresher(environment, lambda result: print_result(console, result)) as refresher:
        ok = _act(console, environment, refresher)
    return 0 if ok else 1


def _act(console: Console, environment: Environment, refresher: Refresher) -> bool:
    started = time.monotonic()
    with _scene(console, "1. A month of messages lands, with a little disorder"), ThreadPoolExecutor(1) as beside:
        session = beside.submit(_warm_up, environment)
        held_back = _replay(console)
        session.result()
    with _scene(console, "2. A backfill of every table, in one run"):
        results = refresher.run([Step(tuple(environment.tables.values()), LANDING_DAYS)])
    with _scene(console, f"3. A day is computed again ({RERUN_DAY}): the same rows, so nothing is committed"):
        results += refresher.days([environment.tables["silver.departures"]], RERUN_DAY)
    with _scene(console, f"4. {LIVE_DAYS} come as a stream, with late, double and broken messages"):
        results += _stream_and_repair(console, environment, refresher, held_back)
    with _scene(console, "5. What is settled of gold goes into a DuckDB file for BI tools, and to Iceberg readers"):
        is_published = _publish(console, environment)
    ok = all(result.ok for result in results) and is_published
    _show_results(console, environment)
    console.print(f"\n{len(results)} tables computed in {time.monotonic() - started:.0f} s", end="; ")
    console.print("all written" if ok else "[bold red]some failed[/]")
    _show_next(console)
    return ok


def _publish(console: Console, environment: Environment) -> bool:
    """Load every sink and ask the warehouse something."""
    is_published = publish_sinks(console, console, environment, list(environment.sinks.values()))
    warehouse = environment.settings.home / "warehouse.duckdb"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        (airports, hours) = connection.execute(_IN_WAREHOUSE).fetchone() or (0, 0)
    console.print(f"{warehouse} holds {hours:,} hours of {airports} airports, each day equal to the table")
    shown = open_target(environment.sinks["serving.hourly_mirror"], environment.place).loads().values()
    console.print(
        f"the Iceberg table lake.hourly_mirror shows {sum(load.rows for load in shown):,} hours, without a copy"
    )
    return is_published


def _start_over(home: Path) -> None:
    """Remove what a demo made.

    Only folders that this project writes are removed, never the home folder itself.

    Raises:
        NoDemoMadeThisError: the folder holds a lake that no demo began with; nothing was removed.
    """
    holds_a_lake = any(any((home / name).glob("*")) for name in ("landing", "tables"))
    if holds_a_lake and not (home / MARKER).exists():
        raise NoDemoMadeThisError(str(home))
    for name in ("landing", "tables", "dagster", "checkpoints", "streams"):
        shutil.rmtree(home / name, ignore_errors=True)


@contextmanager
def _scene(console: Console, title: str) -> Iterator[None]:
    started = time.monotonic()
    console.print(f"\n[bold]{title}[/]")
    yield
    console.print(f"[dim]{time.monotonic() - started:.1f} s[/]")


def _warm_up(environment: Environment) -> None:
    """Start Spark while messages land.

    It loads what the first table would wait for.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment.store.spark.range(1).write.format("delta").save(folder)


def _is_held_back(flight: FlightKey) -> bool:
    return (
        flight.flight_date in OLD_DAYS and flight.carrier == "B6" and flight.origin == "JFK" and flight.flight % 7 == 0
    )


def _replay(console: Console) -> Sequence[FlightKey]:
    report = replay_with_progress(
        console,
        days=LANDING_DAYS,
        late=LATE,
        duplicates=DUPLICATES,
        malformed=MALFORMED,
        seed=SEED,
        hold_back=_is_held_back,
    )
    injected = ", ".join(f"{count} {kind}" for kind, count in sorted(report.injected.items()))
    messages = report.lines["departures"] + report.lines["arrivals"]
    console.print(f"{messages:,} messages and {report.lines['schedules']:,} timetable lines; {injected}")
    return report.held_back


def _stream_and_repair(
    console: Console, environment: Environment, refresher: Refresher, held_back: Sequence[FlightKey]
) -> list[TableResult]:
    before = _flown(environment)
    deliver_late(environment.settings.landing.root, held_back, DELIVERED_ON)
    console.print(f"among them are messages about {len(held_back)} flights of {OLD_DAYS}, three weeks late")
    results = run_live_act(console, environment, refresher)
    after = _flown(environment)
    for day in OLD_DAYS:
        console.print(f"{day}: {before[day]} flights flown before, {after[day]} now")
    untouched = sum(before[day] == after[day] for day in JANUARY)
    console.print(f"{untouched} of {len(JANUARY)} days of January are as they were")
    return results


def _flown(environment: Environment) -> dict[date, int]:
    query = "select flight_date, sum(flown)::int from gold.daily_carrier_performance group by all"
    return dict(_query(environment).execute(query).fetchall())


def _query(environment: Environment) -> duckdb.DuckDBPyConnection:
    return connect(environment.store, environment.tables.values())


def _show_results(console: Console, environment: Environment) -> None:
    connection = _query(environment)
    console.print("\n[bold]January 2013 by carrier[/]  (gold.daily_carrier_performance)")
    _print_grid(console, connection.execute(_BY_CARRIER))
    console.print("\n[bold]Minutes of departure delay by day[/]")
    _print_bars(console, connection.execute(_BY_DAY).fetchall())
    console.print("\n[bold]What is in quarantine, and why[/]")
    for table in environment.tables.values():
        _print_quarantine(console, environment, connection, table.layer, table.name)


_IN_WAREHOUSE = "select count(distinct airport), count(*) from airport_hours"
_MONTH = f"flight_date between '{JANUARY.start}' and '{JANUARY.last}'"
_BY_CARRIER = f"""
    select carrier, sum(scheduled)::int as scheduled, sum(flown)::int as flown, sum(cancelled)::int as cancelled,
           sum(diverted)::int as diverted,
           round(100.0 * sum(arrivals_on_time) / nullif(sum(flown) - sum(diverted), 0), 1) as "on time %",
           round(sum(departure_delay_minutes) / nullif(sum(flown), 0), 1) as "minutes late"
    from gold.daily_carrier_performance where {_MONTH} group by carrier order by scheduled desc limit 8
"""
_BY_DAY = f"""
    select flight_date, sum(departure_delay_minutes)::bigint from gold.daily_carrier_performance
    where {_MONTH} group by all order by all
"""


def _print_grid(console: Console, result: duckdb.DuckDBPyConnection) -> None:
    grid = Grid(box=None, pad_edge=False)
    for place, column in enumerate(result.description or ()):
        grid.add_column(str(column[0]), justify="right" if place else "left")
    for row in result.fetchall():
        grid.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    console.print(grid)


def _print_bars(console: Console, rows: Sequence[tuple[Any, ...]]) -> None:
    most = max((minutes for _, minutes in rows), default=1) or 1
    for day, minutes in rows:
        bar = "█" * max(round(48 * max(minutes, 0) / most), 0)
        late = " [yellow]< repaired[/]" if day in OLD_DAYS else ""
        console.print(f"{day} {minutes:>8,} [cyan]{bar}[/]{late}")


def _print_quarantine(
    console: Console, environment: Environment, connection: duckdb.DuckDBPyConnection, layer: str, name: str
) -> None:
    table = environment.tables[f"{layer}.{name}"]
    if environment.store.log(environment.store.quarantine_path(table)).version() is None:
        return
    reasons = f"select rule, count(*) from (select unnest(rules) as rule from quarantine.{layer}_{name}) group by all"
    found = connection.execute(f"{reasons} order by 2 desc, 1 limit 4").fetchall()
    (total,) = connection.execute(f"select count(*) from quarantine.{layer}_{name}").fetchone() or (0,)
    why = ", ".join(f"{rule} {count}" for rule, count in found)
    console.print(f"{layer}.{name}: {total} rows: {escape(why)}")


def _show_next(console: Console) -> None:
    console.print("\n[bold]Next[/]")
    for command, what in (
        ("lakehouse up", "the asset graph, runs, checks and freshness in the browser"),
        ("lakehouse dashboard", "the network, what is late or wrong, and what each number was computed from"),
        ("lakehouse status", "what each table has, and what is missing or stale"),
        ("lakehouse publish", "load the warehouse with what has changed (docs/serving.md)"),
        ("lakehouse model train", "a model of late departures, measured on the last quarter of the days"),
        ("lakehouse quarantine silver.departures", "the rows that broke the contract"),
        (
            'lakehouse sql "from gold.hourly_airport_performance order by worst_delay_minutes desc limit 5"',
            "ask anything",
        ),
    ):
        console.print(f"  .venv/bin/{command}   [dim]{what}[/]", soft_wrap=True)
