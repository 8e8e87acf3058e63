"""What the tests of streams share: messages in the landing folder, a lake, and what every lake must satisfy."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from lake.batch.plan import steps_to_date
from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.table import Table
from lake.ownership.frontier import LAST_DAY, FrontierTable
from lake.storage.landing import Landing
from lake.storage.store_path import StorePath
from lake.stream.driver import Followed
from lake.stream.follow import follow
from lake.stream.progress import MicroBatch, micro_batches
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.aircraft_last_seen import aircraft_last_seen
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights

__all__ = ["FOLLOWED", "Following", "Lake", "Message", "Messages", "at", "multiset"]

FOLLOWED = [
    departure_events, arrival_events, departures, arrivals, flights, hourly_airport_performance, delay_alerts,
    aircraft_last_seen,
]  # fmt: skip
"""Every table that streams, upstream first."""

Message = dict[str, Any]
PARTITIONS = 4
_PATIENCE_SECONDS = 400.0
_MOST_ROUNDS = 10


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Messages:
    """Makes messages with the next offset of their partition, as a broker does."""

    _next: Counter[tuple[str, int]] = field(default_factory=Counter)

    def departure(
        self, flight_date: date, flight: int, *, scheduled: datetime, left: datetime, sent: datetime, **others: Any
    ) -> Message:
        return self._message(
            "departures",
            {
                "flight_date": str(flight_date), "carrier": "UA", "flight": flight, "origin": "EWR", "dest": "ORD",
                "tail_number": "N12345", "scheduled_departure_at": text(scheduled), "departed_at": text(left),
            } | others,
            sent,
        )  # fmt: skip

    def arrival(
        self, flight_date: date, flight: int, *, scheduled: datetime, reached: datetime, sent: datetime, **others: Any
    ) -> Message:
        return self._message(
            "arrivals",
            {
                "flight_date": str(flight_date), "carrier": "UA", "flight": flight, "origin": "EWR", "dest": "ORD",
                "tail_number": "N12345", "scheduled_arrival_at": text(scheduled), "arrived_at": text(reached),
                "air_time_minutes": 100,
            } | others,
            sent,
        )  # fmt: skip

    def again(self, message: Message, sent: datetime, **others: Any) -> Message:
        """A second message that says the same, apart from `others`."""
        return self._message(message["topic"], json.loads(message["value"]) | others, sent)

    def broken(self, topic: str, value: str | None, sent: datetime) -> Message:
        return self._message(topic, value, sent)

    def _message(self, topic: str, value: Mapping[str, Any] | str | None, sent: datetime) -> Message:
        body = json.dumps(value) if isinstance(value, Mapping) else value
        said = value if isinstance(value, Mapping) else {}
        key = "|".join(str(said.get(name)) for name in ("flight_date", "carrier", "flight", "origin"))
        partition = zlib.crc32(key.encode()) % PARTITIONS
        offset = self._next[topic, partition]
        self._next[topic, partition] += 1
        return {
            "key": key, "value": body, "topic": topic, "partition": partition, "offset": offset,
            "timestamp": sent.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        }  # fmt: skip


@dataclass
class Lake:
    """A lake in a folder, with its own landing folder."""

    home: Path
    session: Callable[[], SparkSession]
    tables: list[Table] = field(default_factory=lambda: list(FOLLOWED))

    def __post_init__(self) -> None:
        self.landing = Landing(self.home / "landing")
        self.store = DeltaStore(
            str(self.home / "tables"), self.landing, self.home / "locks", self.session, lock_timeout_seconds=240
        )
        self.frontier = FrontierTable(self.store)

    def land(self, messages: Iterable[Message], name: str) -> None:
        """Put messages into the files of the days on which they were sent; a file appears in one step."""
        files: dict[tuple[str, str], list[Message]] = {}
        for message in messages:
            files.setdefault((message["topic"], message["timestamp"][:10]), []).append(message)
        for (topic, day), lines in files.items():
            folder = self.landing.location / topic / f"landed_on={day}"
            text = "".join(json.dumps(line) + "\n" for line in lines)
            if isinstance(folder, StorePath):
                (folder / name).write(text.encode())
                continue
            folder.mkdir(parents=True, exist_ok=True)
            aside = folder / f".{name}"
            aside.write_text(text)
            aside.rename(folder / name)

    def follow(self, **options: Any) -> Followed:
        """Run the streams until they have read everything."""
        return follow(self.tables, self.store, self.frontier, home=self.home, until_idle=True, **options)

    def refresh(self, days: Days) -> None:
        """Compute these days of every table in batch."""
        for table in self.tables:
            refresh(table, self.store, days)

    def settle(self, since: date) -> None:
        """Run what the sensor `reconcile` would ask for about days from `since` on, until it asks for nothing."""
        calendar = Days(since, LAST_DAY)
        for _ in range(_MOST_ROUNDS):
            steps = steps_to_date(Survey(self.tables, self.store, calendar), self.tables)
            if not steps:
                return
            for step in steps:
                for table in step.tables:
                    refresh(table, self.store, step.days, unless_equal=step.unless_equal)
        raise AssertionError(f"after {_MOST_ROUNDS} rounds there is still something to do: {steps}")

    def rows(self, table: Table, before: date | None = None) -> Counter[str]:
        """The table's rows as a multiset; only of days before `before`, if given and it has days."""
        rows, is_part = self.store.read(table), before and table.day
        return multiset(rows.where(f"{table.day} < DATE'{before}'").collect() if is_part else rows.collect())

    def rejects(self, table: Table, before: date | None = None) -> Counter[str]:
        """The table's quarantine as a multiset."""
        rows = self.store.read_quarantine(table)
        return multiset(rows.where(f"day < DATE'{before}'").collect() if before else rows.collect())

    @contextmanager
    def following(self, **options: Any) -> Iterator[Following]:
        """Run the streams in a thread for as long as the block lasts; what ended them is raised at its end."""
        running = Following()

        def run() -> None:
            shared: dict[str, Any] = {"home": self.home, "stop": running.stop, "on_receipt": running.note}
            follow(self.tables, self.store, self.frontier, **shared, **options)

        work = threading.Thread(target=running.run, args=(run,))
        work.start()
        try:
            yield running
        finally:
            running.stop.set()
            work.join()
        running.check()

    def check(self, sent: Iterable[Message]) -> None:
        """What holds at every moment: bronze has each message once, keys are unique, no row and no commit is lost."""
        offsets = {(m["topic"], m["partition"], m["offset"]) for m in sent}
        held: set[tuple[Any, ...]] = set()
        for table in self.tables:
            keys = [tuple(row) for row in self.store.read(table).select(*table.key).collect()]
            assert len(set(keys)) == len(keys), f"{table.full_name} holds a key twice"
            held |= set(keys) if table.layer == "bronze" else set()
            self._check_log(table)
        assert held == offsets, "bronze does not hold exactly the messages that were sent"
        for receipt in micro_batches(self.store):
            counts = receipt.counts
            assert counts.rows_in == counts.rows_out + counts.rejected + counts.duplicates, receipt

    def _check_log(self, table: Table) -> None:
        """Every version up to the newest has its commit."""
        log = self.store.table_log(table)
        newest = log.version()
        missing = [v for v in range(-1 if newest is None else newest + 1) if log.commit(v) is None]
        assert not missing, f"{table.full_name} lacks commits {missing}"

    def check_equals_batch(self, sent: Iterable[Message], *, early: Iterable[Table] = ()) -> None:
        """Once the sealed days are recomputed, the lake equals one that batch computed from the same messages at once.

        Args:
            sent: every message.
            early: tables whose open days may lack rows (those behind a watermark): only sealed days are compared.
        """
        messages = list(sent)
        days = [date.fromisoformat(message["timestamp"][:10]) for message in messages]
        since = min(days) - timedelta(days=31)
        self.settle(since)
        self.check(messages)
        whole = Lake(self.home / "in batch", self.session, self.tables)
        whole.land(messages, "all.jsonl")
        whole.refresh(Days.between(since, max(days)))
        state = self.frontier.state()
        assert state is not None
        for table in self.tables:
            before = state.first_open_day(table) if table in early else None
            assert self.rows(table, before) == whole.rows(table, before), table.full_name
            assert self.rejects(table, before) == whole.rejects(table, before), f"quarantine of {table.full_name}"


@dataclass
class Following:
    """Streams that run in another thread."""

    stop: threading.Event = field(default_factory=threading.Event)
    receipts: list[MicroBatch] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def note(self, receipt: MicroBatch) -> None:
        self.receipts.append(receipt)

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a state of the lake; fails where the streams end before."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            ended = self.ended.wait(0.2)
            self.check()
            assert not ended, f"the streams ended before {what}"
            assert time.monotonic() < deadline, f"still not: {what}"

    def until_ended(self) -> None:
        """Wait for the streams to end by themselves; raises what ended them."""
        assert self.ended.wait(_PATIENCE_SECONDS), "the streams go on"
        self.check()

    def until_read(self, lake: Lake, table: Table, rows: int) -> None:
        """Wait until a table holds so many rows."""
        assert table.day is not None
        day = table.day
        self.until(
            lambda: sum(lake.store.table_log(table).rows_by_day(day).values()) >= rows,
            f"{table.full_name} holds {rows} rows",
        )


def multiset(rows: Iterable[Any]) -> Counter[str]:
    return Counter(repr(row) for row in rows)


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0, *, plus_days: int = 0) -> datetime:
    """A moment of January 2013, UTC."""
    return datetime(2013, 1, 1, hour, minute, second, tzinfo=UTC) + timedelta(days=day - 1 + plus_days)
