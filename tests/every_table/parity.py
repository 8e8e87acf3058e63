"""How a lake that streams fill and batch repairs is compared with lakes that only batch computes."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

import lakehouse_assets
from lake.batch.refresh import refresh
from lake.declare.days import Days
from lake.declare.table import Append, Table, discover, is_followable, stream_reads
from lake.stream.follow import follow
from lake.stream.generation import plan_stream
from lake.stream.progress import MicroBatch
from lake.testing.frames import frame
from lake.testing.lakes import interpreted, quarantined, stored_rows
from lakehouse_assets.silver.aircraft import aircraft
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.weather import weather
from tests.every_table.open_days import OpenDays, Reading, compare, copied, together
from tests.every_table.worlds import EVENT_DAYS, SEASONS, World, tally, world_of
from tests.streaming import Lake, Message, Messages, multiset

__all__ = ["ALL", "STREAMING", "Journey", "Outcome", "Traveller", "differences", "portions", "supplied", "travel"]

STREAMING = [table for table in discover(lakehouse_assets).values() if is_followable(table)]
"""Every table that streams, upstream first."""

ALL = "all tables"
"""Where one table is named: every one that streams."""

Rows = Mapping[tuple[str, str], Counter[str]]
"""The rows of a lake as multisets, by table and by `rows` or `rejects`."""

TORN = ["{torn", '"a text"', '{"topic": "departures", "partition": "none"}']
"""Lines of an archive that are no message at all."""
_SHOWN = 3
_LAST_PORTION = 0.05


@dataclass(frozen=True)
class Journey:
    """What one lake goes through.

    Attributes:
        season: a key of `SEASONS`.
        seed: of its worlds and of every choice.
        portions: in how many portions the messages land.
        is_live: portions land while the queries run; else queries start anew for each and go on from their checkpoints.
        loses: the table (`layer.name`, or `ALL`) whose checkpoint is lost after each of the first portions.
        delivers_again: one portion lands a second time under another name.
        worlds: how many.
    """

    season: str
    seed: int
    portions: int = 2
    is_live: bool = False
    loses: tuple[str, ...] = ()
    delivers_again: bool = False
    worlds: int = 50

    @property
    def first(self) -> date:
        """The first day of the events."""
        return SEASONS[self.season]

    @property
    def days(self) -> Days:
        """Every day that a message can touch: flight dates before the first event, late landings after the last."""
        return Days(self.first - timedelta(days=2), self.first + timedelta(days=EVENT_DAYS + 7))

    def made_worlds(self) -> list[World]:
        """The worlds, each of a seed of its own."""
        seeds = self.choices("worlds").sample(range(2**31), self.worlds)
        return [World(number, seed, self.first) for number, seed in enumerate(seeds)]

    def choices(self, what: str) -> random.Random:
        """The choices about one thing."""
        return random.Random(f"{self} {what}")


@dataclass(frozen=True)
class Outcome:
    """What became of a journey.

    Attributes:
        journey: which.
        seeds: of the worlds.
        holds: what their messages were, counted.
        starts: how often the queries began.
        batches: micro-batches with rows, by table.
        compared: rows compared, by table and by `rows` or `rejects`.
        early: of these, rows that differed before the sealed days were repaired.
        open_days: what streams had left on open days when they stood still, against batch.
        modes: what was compared with batch over one range.
        kinds: how each table's query works besides its writes, as text: whether it keeps state.
        differences: what differed at the end, by table and seed; nothing where the law holds.
    """

    journey: Journey
    seeds: list[int]
    holds: Counter[str]
    starts: int
    batches: Counter[str]
    compared: Mapping[tuple[str, str], int]
    early: Mapping[tuple[str, str], int]
    open_days: OpenDays
    modes: list[str]
    kinds: Mapping[str, str]
    differences: list[str]


# Going


@dataclass
class Traveller:
    """A lake that streams fill, portion by portion; whenever they stand still, their open days are compared.

    Attributes:
        beside: gives an empty lake, which knows what `lake` knows from elsewhere.
        opened: the first open day, at each start of the queries.
        anew: the portion with which a table's stream last began anew.
    """

    journey: Journey
    lake: Lake
    beside: Callable[[str], Lake]
    starts: int = 0
    opened: list[date] = field(default_factory=list)
    anew: dict[str, int] = field(default_factory=dict)
    looks: list[tuple[str, OpenDays]] = field(default_factory=list)
    batches: Counter[str] = field(default_factory=Counter)
    counting: threading.Lock = field(default_factory=threading.Lock)

    def run(self, sent: Sequence[Message]) -> None:
        """Read all messages, and then so late ones that every day of the worlds is over and sealed."""
        parts = portions(sent, self.journey.portions, self.journey.choices("cuts"))
        if self.journey.is_live:
            self._run_live(parts)
        else:
            self._run_in_steps(parts)
        if self.journey.delivers_again:
            again = self.journey.choices("again").randrange(len(parts))
            self.lake.land(parts[again], "again.jsonl")
        last = heartbeat(self.journey)
        self.lake.land(last, "heartbeat.jsonl")
        self._follow()
        if self.journey.is_live:
            self._look([*parts, last])

    def _run_in_steps(self, parts: Sequence[Sequence[Message]]) -> None:
        for number in range(len(parts)):
            self.read(parts[: number + 1])
            if number == 0:
                self.lake.settle(self.journey.days.start)
            if number < len(self.journey.loses):
                self._lose(self.journey.loses[number])
                self.anew |= dict.fromkeys(begun_anew(self.journey.loses[number]), number + 1)

    def read(self, parts: Sequence[Sequence[Message]]) -> None:
        """Let the last of these portions land and read it; compare what is open then."""
        self.lake.land(parts[-1], f"{len(parts) - 1}.jsonl")
        self._follow()
        self._look(parts)

    def _run_live(self, parts: Sequence[Sequence[Message]]) -> None:
        deliveries = Deliveries(self.lake, parts)
        self._follow(until_idle=False, stop=deliveries, told=deliveries.note)
        assert not deliveries.rest

    def _look(self, read: Sequence[Sequence[Message]]) -> None:
        """Compare what streams wrote with batch, before anybody repairs it."""
        opened = [self.opened[-1]] * len(read) if self.journey.is_live else self.opened
        reading = Reading(read, opened, self.journey.days.end, dict(self.anew), self.journey.is_live)
        name = f"open days after {len(read)} portions"
        batch = copied(self.lake, self.beside(name.replace(" ", "-")), self.journey.days)
        self.looks.append((name, compare(self.lake, batch, reading)))

    def _follow(
        self,
        *,
        until_idle: bool = True,
        stop: threading.Event | None = None,
        told: Callable[[MicroBatch], None] = lambda _: None,
    ) -> None:
        def on_receipt(receipt: MicroBatch) -> None:
            with self.counting:
                self.batches[receipt.table] += receipt.counts.rows_in > 0
            told(receipt)

        lake, self.starts, state = self.lake, self.starts + 1, self.lake.frontier.state()
        self.opened.append(state.first_open if state else self.journey.first)
        follow(
            lake.tables, lake.store, lake.frontier,
            home=lake.home, since=self.journey.first, until_idle=until_idle, stop=stop, on_receipt=on_receipt,
        )  # fmt: skip

    def _lose(self, table: str) -> None:
        """Lose the checkpoint of a table, or all."""
        folder = self.lake.home / "checkpoints"
        shutil.rmtree(folder if table == ALL else folder.joinpath(*table.split(".")))


def begun_anew(lost: str) -> list[str]:
    """The tables whose streams begin anew when a checkpoint is lost: its own, and all that read what it replaces."""
    begun: list[Table] = []
    for table in STREAMING:
        replaced = [one for one in begun if not isinstance(one.write, Append)]
        if lost in (ALL, table.full_name) or any(read.source in replaced for read in stream_reads(table)):
            begun.append(table)
    return [table.full_name for table in begun]


class Deliveries(threading.Event):
    """Asked again and again by the running streams whether to stop: lands a portion, and stops when there is none.

    The next portion lands when some of the one before has been read, while later tables are still busy with it.
    """

    def __init__(self, lake: Lake, parts: Sequence[Sequence[Message]]) -> None:
        super().__init__()
        self.lake, self.rest = lake, list(parts)
        self.is_due = False
        self._land()

    def note(self, receipt: MicroBatch) -> None:
        """A micro-batch is over."""
        if receipt.table.startswith("bronze.") and receipt.counts.rows_in:
            self.is_due = True

    def wait(self, timeout: float | None = None) -> bool:
        if self.is_due and not self.rest:
            self.set()
        elif self.is_due:
            self.is_due = False
            self._land()
        return super().wait(timeout)

    def _land(self) -> None:
        self.lake.land(self.rest.pop(0), f"live-{len(self.rest)}.jsonl")


def portions(sent: Sequence[Message], number: int, choices: random.Random) -> list[list[Message]]:
    """The messages in the order in which a feed delivers them, cut at random places.

    The last portion holds a twentieth of them at least: it finds most days sealed, and what is late in it is what the
    repair is for.
    """
    ordered = sorted(sent, key=lambda message: (message["timestamp"], message["partition"], message["offset"]))
    cuts = [len(ordered)]
    while cuts[-1] > len(ordered) * (1 - _LAST_PORTION):
        cuts = sorted(choices.sample(range(1, len(ordered)), number - 1))
    return [ordered[start:end] for start, end in zip([0, *cuts], [*cuts, len(ordered)], strict=True)]


def heartbeat(journey: Journey) -> list[Message]:
    """Both feeds, two weeks later: whatever came before is over."""
    made, later = Messages(), datetime.combine(journey.first + timedelta(days=20), time(12))
    sent = later + timedelta(seconds=20)
    return [
        made.departure(later.date(), 9999, scheduled=later, left=later, sent=sent, tail_number=None),
        made.arrival(later.date(), 9999, scheduled=later, reached=later, sent=sent, tail_number=None),
    ]


def travel(journey: Journey, folder: Path, spark: SparkSession, *, day_by_day: bool = False) -> Outcome:
    """Stream the messages in portions, seal, repair; compare with batch over one range and, if asked, day by day.

    Args:
        journey: what happens.
        folder: an empty folder for the lakes.
        spark: any session.
        day_by_day: compute a third lake too, one day at a time and in random order.
    """
    worlds = journey.made_worlds()
    sent = [message for world in worlds for message in world.messages()]

    def beside(name: str) -> Lake:
        return supplied(Lake(folder / name, lambda: spark, STREAMING), folder / "reference", journey)

    lakes = {name: beside(name) for name in ("streamed", "range", "days")}
    for lake in lakes.values():
        _land_torn(lake, journey.first)
    traveller = Traveller(journey, lakes["streamed"], beside)
    traveller.run(sent)
    whole = _computed(lakes["range"], sent, [journey.days], journey)
    early = _rows(lakes["streamed"], journey.days.end)
    lakes["streamed"].settle(journey.days.start)
    found = {"stream": _rows(lakes["streamed"], journey.days.end)}
    if day_by_day:
        days = [Days.of(day) for day in journey.days]
        journey.choices("days").shuffle(days)
        with interpreted(spark):
            found["day by day"] = _computed(lakes["days"], sent, days, journey)

    seeds = [world.seed for world in worlds]
    return Outcome(
        journey=journey, seeds=seeds, holds=tally(worlds), starts=traveller.starts,
        batches=traveller.batches, modes=list(found),
        kinds={table.full_name: _kind(table, spark) for table in STREAMING},
        compared={place: rows.total() for place, rows in whole.items()},
        early={place: ((early[place] - rows) + (rows - early[place])).total() for place, rows in whole.items()},
        open_days=together(look for _, look in traveller.looks),
        differences=[
            *(line for mode, rows in found.items() for line in differences(mode, rows, whole, seeds)),
            *(line for name, look in traveller.looks for line in differences(name, look.found, look.expected, seeds)),
        ],
    )  # fmt: skip


def _kind(table: Table, spark: SparkSession) -> str:
    plan = plan_stream(table, spark)
    return f", state, {plan.output_mode} mode" if plan.is_stateful else ""


def supplied(lake: Lake, reference: Path, journey: Journey) -> Lake:
    """Give a lake the tables that streams read as they are: the same files for all."""
    source = Lake(reference, lake.session)
    if not reference.exists():
        hours = [datetime.combine(day, time(hour)) for day in journey.days for hour in (0, 5, 8, 9, 12, 14, 23)]
        observed = [
            {"airport": airport, "observed_at": hour, "observed_on": hour.date(), "temperature_f": 40.0 + hour.hour}
            for airport in ("AAA", "AAB", "AAC", "ABA") for hour in hours
        ]  # fmt: skip
        known = [{"tail_number": tail, "model": "737", "seats": 140} for tail in ("N12345", "N99999")]
        listed = [
            {"airport": airport, "name": "somewhere", "latitude": 1.0, "longitude": 2.0, "is_supplement": False}
            for airport in ("ZAA", "ZAD", "ZBB")
        ]
        spark = lake.session()
        for table, rows in ((weather, observed), (aircraft, known), (airports, listed)):
            days = [journey.days] if table.day else None
            source.store.replace(table, frame(spark, table, rows), days, {})
    for table in (weather, aircraft, airports):
        shutil.copytree(source.store.path(table), lake.store.path(table))
    return lake


def _land_torn(lake: Lake, day: date) -> None:
    folder = lake.landing.root / "departures" / f"landed_on={day}"
    folder.mkdir(parents=True)
    (folder / "torn.jsonl").write_text("".join(f"{line}\n" for line in TORN))


def _computed(lake: Lake, sent: Iterable[Message], ranges: Sequence[Days], journey: Journey) -> Rows:
    """Compute a lake in batch: each table in all of these ranges before the next table."""
    lake.land(sent, "all.jsonl")
    for table in lake.tables:
        for days in ranges:
            refresh(table, lake.store, days)
    return _rows(lake, journey.days.end)


def _rows(lake: Lake, before: date) -> Rows:
    """What a lake holds about days before one, by table."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for table in lake.tables:
        rows, rejects = stored_rows(lake.store, table), quarantined(lake.store, table)
        found[table.full_name, "rows"] = multiset(row for row in rows if table.day is None or row[table.day] < before)
        found[table.full_name, "rejects"] = multiset(row for row in rejects if row["day"] < before)
    return found


# Comparing


def differences(mode: str, found: Rows, expected: Rows, seeds: Sequence[int]) -> list[str]:
    """What two lakes hold differently: a line per table and world, with its seed and some of the rows.

    Args:
        mode: how the first came about.
        found: the first lake.
        expected: the second.
        seeds: of the worlds, by number.
    """
    lines = []
    for place, rows in expected.items():
        more, less = found[place] - rows, rows - found[place]
        for number in sorted({world_of(row) for row in more | less}, key=str):
            world = "no world" if number is None else f"world {number} (seed {seeds[number]})"
            shown = [
                f"{part.total()} {place[1]} {what}: {list(part)[:_SHOWN]}"
                for what, part in (("too many", _of(more, number)), ("missing", _of(less, number)))
                if part
            ]
            lines.append(f"{mode}, {' '.join(place)}, {world}: {'; '.join(shown)}")
    return lines


def _of(rows: Counter[str], number: int | None) -> Counter[str]:
    return Counter({row: count for row, count in rows.items() if world_of(row) == number})
