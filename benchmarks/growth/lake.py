"""Simulate a lake of so many months.

It has daily runs of every table, and streams in its last week. What is simulated is written in the shape of the
product, by its own functions where they need no Spark: tables are created by the store, landing files are marked, the
ledger, the receipts and the frontier are written by their classes, maintenance is the product's. Commits of the
declared tables are written by `SimulatedTable`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from benchmarks.growth.commits import SimulatedTable, date_log
from lake.batch.maintain import Maintenance, Place
from lake.batch.plan import steps_to_date
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.feed import Feed
from lake.declare.table import Table, is_followable
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger, Outcome
from lake.stream.progress import MicroBatch, Receipts, StreamStatus, write_status
from lake.write.enforce import Counts
from lake.write.store import DeltaStore

__all__ = ["SimulatedLake", "WithoutSpark"]

Day = date | None
_EVERY = timedelta(minutes=5)
_COMPACT_EVERY = 200


class WithoutSpark(Maintenance):
    """Maintenance by a simulated clock, without what needs Spark.

    Files of declared tables were never written.
    """

    def vacuum(self, place: Place) -> int:
        """Remove files of the lake's own tables alone."""
        date_log(Path(place.path), self.now)
        return super().vacuum(place) if place.table is None else 0

    def shorten_log(self, place: Place) -> int:
        """Shorten it as of the simulated time."""
        date_log(Path(place.path), self.now)
        shortened = super().shorten_log(place)
        date_log(Path(place.path), self.now)
        return shortened


@dataclass
class SimulatedLake:
    """One lake in the making.

    Attributes:
        tables: the declared tables, upstream first.
        store: where they are.
        home: the home folder.
        days: the simulated days; their last is yesterday, because Delta's clean-up goes by the machine's clock.
        streamed: how many of the last days streams read.
        is_maintained: whether maintenance runs.
        detailed: of so many last days each table has a ledger commit of its own, and maintenance runs daily; before
            them there is one commit, and one maintenance, a month, which leaves the same behind.
        calendar: of who looks at it; None: `days`.
    """

    tables: Sequence[Table]
    store: DeltaStore
    home: Path
    days: Days
    streamed: int = 7
    is_maintained: bool = True
    detailed: int = 35
    calendar: Days | None = None
    _entries: list[Entry] = field(default_factory=list, repr=False)
    written: dict[str, SimulatedTable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.written = {table.full_name: SimulatedTable(table, self.store) for table in self.tables}

    def build(self) -> None:
        """Run every day, one after the other."""
        for day in self.days:
            left = (self.days.last - day).days
            if left < self.streamed:
                self._stream(day)
            self._run(day, is_streamed=left < self.streamed)
            if left < self.detailed or day.day == 1:
                self._record()
                if self.is_maintained:
                    self.maintain(day)
        self._record()
        for folder in self._own_tables():
            date_log(folder, _at(self.days.last, 4))

    def maintain(self, day: date) -> None:
        """Run maintenance in the night after a day."""
        now = _at(day + timedelta(days=1), 3)
        for folder in self._own_tables():
            date_log(folder, now)
        work = WithoutSpark(self.store, self.home / "checkpoints", now)
        for place in work.places(self.tables):
            work.maintain(place)

    def _own_tables(self) -> list[Path]:
        root = Path(self.store.tables, "lake")
        return sorted(root.iterdir()) if root.is_dir() else []

    def rewrite(self, name: str, day: date) -> None:
        """Compute a day of a table once more, now.

        So what reads it is stale.
        """
        table = self.written[name].table
        Ledger(self.store).record(self._refresh(table, [day], datetime.now(UTC)))

    def catch_up(self, now: datetime) -> None:
        """Compute what is missing or stale."""
        for table, days in self._sealed():
            Ledger(self.store).record(self._refresh(table, days, now))

    # A day of batch

    def _run(self, day: date, *, is_streamed: bool) -> None:
        """Land a day, and compute what it makes missing or stale.

        Where streams run, it computes what they have sealed.
        """
        now = _at(day + timedelta(days=1), 2)
        feeds = {read.source for table in self.tables for read in table.reads if isinstance(read.source, Feed)}
        for feed in feeds:
            if self._delivers(feed, day, is_streamed=is_streamed):
                self._land(feed, day, now)
        for table, days in self._sealed() if is_streamed else self._due(day):
            self._entries += self._refresh(table, days, now)
            if is_streamed or (self.days.last - day).days < self.detailed:
                self._record()

    def _record(self) -> None:
        Ledger(self.store).record(self._entries)
        self._entries.clear()

    def _delivers(self, feed: Feed, day: date, *, is_streamed: bool) -> bool:
        """Tell whether a file of a feed lands on a day.

        Feeds that deliver now and then do on the first of a month, always the same lines.
        """
        if not feed.delivers.every_day:
            return day == self.days.start or day.day == 1
        return not (is_streamed and any(is_followable(table) and _reads(table, feed) for table in self.tables))

    def _land(self, feed: Feed, day: date, now: datetime) -> None:
        folder = self.store.landing.folder(feed, day)
        folder.mkdir(parents=True)
        file = folder / f"{feed.name}.jsonl"
        file.write_text(f'{{"{feed.name}": "{day}"}}\n')
        for path in (file, folder):
            os.utime(path, (now.timestamp(), now.timestamp()))

    def _due(self, day: date) -> Iterator[tuple[Table, list[Day]]]:
        """Find what a landing day makes stale.

        That is itself, and the days before that read around themselves.
        """
        changed: dict[Table, set[date]] = {}
        for table in self.tables:
            days: set[date] = set()
            for read in table.reads:
                if isinstance(read.source, Feed):
                    days |= {day} if self.store.landing.folder(read.source, day).is_dir() else set()
                else:
                    days |= {one for source_day in changed[read.source] for one in read.affected(source_day)}
            changed[table] = {one for one in days if one in self.days and one <= day}
            if table.day is None:
                changed[table] = set()  # the same lines as before
            if days:
                yield table, [*sorted(changed[table])] if table.day else [None]

    def _sealed(self) -> Iterator[tuple[Table, list[Day]]]:
        """Find what the product itself finds missing or stale.

        It says so in a few steps.
        """
        while True:
            survey = Survey(self.tables, self.store, self.calendar or self.days)
            steps = steps_to_date(survey, self.tables)
            if not steps:
                return
            for step in steps:
                for table in step.tables:
                    yield table, [None] if step.days is None or table.day is None else list(step.days)

    def _refresh(self, table: Table, days: Sequence[Day], now: datetime) -> list[Entry]:
        feeds = [read.source for read in table.reads if isinstance(read.source, Feed)]
        if feeds:  # a range bridges days of which nothing has landed
            days = [day for day in days if day and any(self.store.landing.folder(feed, day).is_dir() for feed in feeds)]
        sources = [read.source for read in table.reads if isinstance(read.source, Table)]
        inputs = {source.full_name: self.store.version(source) for source in sources}
        ids = {one.full_name: self.written[one.full_name].id for one in (table, *sources)}
        metadata = {"refresh": table.full_name, "days": ", ".join(map(str, days)), "inputs": inputs}
        more = {"code_version": table.code_version, "run_id": "simulated"}
        outcome: Outcome = "unchanged" if table.day is None and self.store.version(table) else "written"
        if outcome == "written":
            self.written[table.full_name].replace(days, now, {**metadata, **more})
        version = self.store.version(table) or 0
        return [
            Entry(
                table.full_name, day, outcome, 1, 1, 0, 0, {**inputs, **self._marks_of(table, day)}, version,
                table.code_version, 0.5, run_id="simulated", recorded_at=now, table_ids=ids,
            )
            for day in days
        ]  # fmt: skip

    def _marks_of(self, table: Table, day: Day) -> Mapping[str, Any]:
        feeds = [read.source for read in table.reads if isinstance(read.source, Feed)]
        landed = {feed.name: self.store.landing.files(feed, day) for feed in feeds if day}
        marks = {name: {file: one.mark() for file, one in files.items()} for name, files in landed.items()}
        return {f"feed:{name}": files or None for name, files in marks.items()}

    # A day of streams

    def _stream(self, day: date) -> None:
        """Run a micro-batch of each followed table every five minutes.

        Their receipts are committed three at a time.
        """
        followed = [table for table in self.tables if is_followable(table)]
        frontier = FrontierTable(self.store)
        names = frozenset(table.full_name for table in followed)
        began = self.days.last - timedelta(days=self.streamed - 1)
        frontier.change(lambda _: Frontier(began, day, None, names, dict.fromkeys(names, 1)), f"sealed before {day}")
        receipts = Receipts(self.store, self.home / "streams")
        for number, now in enumerate(_moments(day), (day - began).days * len(list(_moments(day)))):
            for table in followed:
                receipts.add(self._micro_batch(table, day, number, now))
            if number % 3 == 0:
                receipts.commit()
        receipts.commit()

    def _micro_batch(self, table: Table, day: date, number: int, now: datetime) -> MicroBatch:
        name = table.full_name
        said = {"follow": name, "generation": 1, "batch": number, "code_version": table.code_version}
        version = self.written[name].append(day, now, {**said, "txn": [f"{name}/rows/1", number]})
        if number and number % _COMPACT_EVERY == 0:
            self.written[name].compact(now)
        status = StreamStatus(name, generation=1, pid=os.getpid(), batch_id=number, last_batch_at=now.isoformat())
        if now.time() >= time(23, 55):
            write_status(self.home / "streams", status)
        return MicroBatch(name, 1, number, Counts(1, 1), version, 0.5, now)


def _moments(day: date) -> Iterator[datetime]:
    now = _at(day, 0)
    while now.date() == day:
        yield now
        now += _EVERY


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)


def _reads(table: Table, feed: Feed) -> bool:
    return any(read.source == feed for read in table.reads)
