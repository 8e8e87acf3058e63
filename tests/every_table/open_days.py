"""Open days as streams left them, compared with batch over the very rows of bronze that the streams had read.

Once a day is sealed and repaired it was written by batch, and a comparison of batch with batch says nothing about
streams. So this one comes before: bronze must hold exactly the messages that landed; a second lake gets a copy of that
bronze, and batch computes all other tables of it. What streams may still lack is stated below for each table that keeps
state. It is worked out from the messages alone: when something happened, when it was read, and what lateness its table
declares. A table without such a statement must be equal, one that is added tomorrow too.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from lake.batch.refresh import refresh
from lake.declare.days import Days, utc_day
from lake.declare.table import Append, Table, stream_reads
from lake.ownership.frontier import Frontier
from lake.testing.lakes import quarantined, stored_rows
from lakehouse_assets.gold.aircraft_last_seen import aircraft_last_seen
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flight_key import FLIGHT_KEY
from lakehouse_assets.silver.flights import flights
from tests.streaming import Lake, Message, multiset

__all__ = ["EARLY", "REASONS", "OpenDays", "Reading", "compare", "copied", "together"]

BEHIND = "behind the watermark"
WAITING = "the other side is still to come"
SEALED = "an input of a sealed day, which comes through batch"
CONTRADICTED = "messages contradict each other, and the first that came is kept"
REASONS = (BEHIND, WAITING, SEALED, CONTRADICTED)

Row = Mapping[str, Any]
Key = tuple[Any, ...]
Place = tuple[str, str]
TOGETHER = timedelta(hours=24)
"""How far an arrival can be from its departure; the declaration of `flights` says so in words."""
_LANDED = ("key", "value", "topic", "partition", "offset", "timestamp")
_EVENTS = {"departures": (departures, "departed_at", "origin"), "arrivals": (arrivals, "arrived_at", "dest")}


@dataclass(frozen=True)
class Reading:
    """What streams have read when they stand still.

    Attributes:
        portions: the messages, in the portions in which they were read.
        open_from: the first open day of the lake while each portion was read.
        anew: the portion with which a table's stream last began anew: it read all portions up to this one at once.
        until: rows of this day and later are left out.
        is_live: the portions were read by queries that kept running, so that micro-batches were cut anywhere.
    """

    portions: Sequence[Sequence[Message]]
    open_from: Sequence[date]
    until: date
    anew: Mapping[str, int] = field(default_factory=dict)
    is_live: bool = False


@dataclass
class OpenDays:
    """What a comparison found.

    Attributes:
        compared: rows that batch has for the open days, by table and by `rows` or `rejects`.
        early: rows that differ for a reason that is stated for their table, by table and reason.
        found, expected: what differs without one, in the streamed lake and in the other.
    """

    compared: Counter[Place] = field(default_factory=Counter)
    early: Counter[Place] = field(default_factory=Counter)
    found: dict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    expected: dict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def unexplained(self) -> dict[Place, int]:
        """How many rows differ without a reason, by table and by `rows` or `rejects`."""
        places = self.found.keys() | self.expected.keys()
        return {place: (self.found[place] + self.expected[place]).total() for place in sorted(places)}

    def note(self, place: Place, found: Iterable[Row], expected: Iterable[Row]) -> None:
        """Keep what differs without a reason."""
        held, other = multiset(found), multiset(expected)
        if held != other:
            self.found[place] += held - other
            self.expected[place] += other - held


def together(found: Iterable[OpenDays]) -> OpenDays:
    """The numbers of several comparisons, added up."""
    total = OpenDays()
    for one in found:
        total.compared += one.compared
        total.early += one.early
    return total


def copied(streamed: Lake, other: Lake, days: Days) -> Lake:
    """Give a lake the bronze of a streamed one, and compute everything else of it in batch."""
    for table in other.tables:
        if isinstance(table.write, Append):
            shutil.copytree(streamed.store.path(table), other.store.path(table))
        else:
            refresh(table, other.store, days)
    return other


def compare(streamed: Lake, batch: Lake, reading: Reading) -> OpenDays:
    """Compare the open days of every table as streams left them.

    Args:
        streamed: a lake that streams have filled and that nobody has repaired since.
        batch: its bronze with everything else computed in batch; see `copied`.
        reading: what the streams had read.
    """
    past, result = Past.of(batch, reading), OpenDays()
    for table in batch.tables:
        if isinstance(table.write, Append):
            _compare_bronze(streamed, table, reading, result)
            continue
        found, expected = (_open_rows(lake, table, reading) for lake in (streamed, batch))
        _compare_rows(table, found, expected, past, result)
        rejects = [_open_rejects(lake, table, reading) for lake in (streamed, batch)]
        result.compared[table.full_name, "rejects"] += len(rejects[1])
        result.note((table.full_name, "rejects"), *rejects)
    result.note(("lake.frontier", "rows"), past.sealed_too_early(), [])
    return result


def _compare_bronze(streamed: Lake, table: Table, reading: Reading, result: OpenDays) -> None:
    """Bronze against the messages themselves; one that was delivered twice is one."""
    (topic,) = (read.name for read in table.reads)
    landed = [m for portion in reading.portions for m in portion if m["topic"] == topic]
    sent = {
        (m["partition"], m["offset"], m["timestamp"]): {**{name: m[name] for name in _LANDED}, "timestamp": at}
        for m in landed
        if utc_day(at := _moment(m["timestamp"])) >= reading.open_from[0]
    }
    held = [
        {**{name: row[name] for name in _LANDED}, "timestamp": row["timestamp"].astimezone(UTC)}
        for row in stored_rows(streamed.store, table)
        if row["landed_on"] >= reading.open_from[0]
    ]
    result.compared[table.full_name, "rows"] += len(sent)
    result.note((table.full_name, "rows"), held, sent.values())


def _open_rows(lake: Lake, table: Table, reading: Reading) -> list[Row]:
    first, day = _first_open(table, reading.open_from[-1]), table.day
    return [row for row in stored_rows(lake.store, table) if day is None or first <= row[day] < reading.until]


def _open_rejects(lake: Lake, table: Table, reading: Reading) -> list[Row]:
    first = _first_open(table, reading.open_from[-1])
    return [row for row in quarantined(lake.store, table) if first <= row["day"] < reading.until]


def _first_open(table: Table, first_open: date) -> date:
    return Frontier(first_open, first_open).first_writable_day(table)


def _compare_rows(table: Table, found: Iterable[Row], expected: Iterable[Row], past: Past, result: OpenDays) -> None:
    """By key: each row that differs has a reason or is noted."""
    held, other = _by_key(table, found), _by_key(table, expected)
    result.compared[table.full_name, "rows"] += sum(map(len, other.values()))
    excuse = EARLY.get(table.transform)
    for key in held.keys() | other.keys():
        one, two = held[key], other[key]
        if one == two:
            continue
        has_one = len(one) <= 1 and len(two) == 1
        reason = excuse(past, table, one[0] if one else None, two[0]) if excuse and has_one else None
        if reason is None:
            result.note((table.full_name, "rows"), one, two)
        else:
            result.early[table.full_name, reason] += 1


def _by_key(table: Table, rows: Iterable[Row]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in table.key)].append(row)
    return found


# What was read when


@dataclass(frozen=True)
class Event:
    """A valid row of silver.

    Attributes:
        feed: departures or arrivals.
        flight: flight date, carrier, flight, origin.
        at: when it happened.
        airport: where.
        portion: in which portion its first message was read.
    """

    feed: str
    flight: Key
    at: datetime
    airport: str
    portion: int


@dataclass(frozen=True)
class Past:
    """The valid events that streams have read, and when."""

    events: Sequence[Event]
    reading: Reading

    @classmethod
    def of(cls, batch: Lake, reading: Reading) -> Past:
        """What batch finds valid, with the portion in which a message that it does not reject says it first."""
        known = {feed: fields for feed, fields in _EVENTS.items() if fields[0] in batch.tables}
        rejected = {_offset(one["row"]) for table, *_ in known.values() for one in quarantined(batch.store, table)}
        first = _first_said(reading.portions, rejected)
        events = []
        for feed, (table, at, airport) in known.items():
            for row in stored_rows(batch.store, table):
                flight = tuple(row[name] for name in FLIGHT_KEY)
                said = (feed, *map(str, flight), row[at])
                events.append(Event(feed, flight, row[at], row[airport], first[said]))
        return cls(events, reading)

    @cached_property
    def by_flight(self) -> Mapping[Key, Sequence[Event]]:
        """The events of each flight."""
        found = defaultdict(list)
        for event in self.events:
            found[event.flight].append(event)
        return found

    @cached_property
    def by_hour(self) -> Mapping[Key, Sequence[Event]]:
        """The events of each airport and hour."""
        found = defaultdict(list)
        for event in self.events:
            found[event.airport, _hour(event.at)].append(event)
        return found

    def is_late(self, event: Event, table: Table, over_at: datetime) -> bool:
        """Whether a table's watermark may have passed a moment when it read an event: its state was gone by then."""
        mark = self._mark_at_most(event, table)
        return mark is not None and over_at <= mark

    def was_sealed(self, event: Event) -> bool:
        """Whether batch owned the day of an event already when it was read."""
        return utc_day(event.at) < self.reading.open_from[event.portion]

    def mark_at_least(self, table: Table) -> datetime:
        """The watermark that a table has reached: of each start of its query, the slowest feed rules."""
        marks = []
        for number in range(self.reading.anew.get(table.full_name, 0), len(self.reading.portions)):
            read = [event for event in self.events if self._read_with(event, table) == number]
            marks.append(_slowest(read, _feeds(table)))
        return max(filter(None, marks), default=datetime.min.replace(tzinfo=UTC))

    def sealed_too_early(self) -> list[Row]:
        """Where a day was sealed that the events before do not show to be over."""
        seen: list[Row] = []
        for number, first_open in enumerate(self.reading.open_from):
            over = _slowest([event for event in self.events if event.portion < number], list(_EVENTS))
            if first_open > self.reading.open_from[0] and (over is None or utc_day(over) < first_open):
                seen.append({"portion": number, "open from": first_open, "over": over})
        return seen

    def _mark_at_most(self, event: Event, table: Table) -> datetime | None:
        """The watermark can be no later when a table reads an event; None where it has none yet.

        Queries that start anew for each portion know all portions before. One that runs may read a portion in two.
        """
        if self.reading.is_live:
            return _slowest([one for one in self.events if one.portion <= event.portion], [event.feed])
        if event.portion <= self.reading.anew.get(table.full_name, 0):
            return None
        return _slowest([one for one in self.events if one.portion < event.portion], _feeds(table))

    def _read_with(self, event: Event, table: Table) -> int | None:
        """The portion with which a table read an event; None where it was not given it."""
        return None if self.was_sealed(event) else max(event.portion, self.reading.anew.get(table.full_name, 0))


def _first_said(portions: Sequence[Sequence[Message]], rejected: Collection[Key]) -> dict[Key, int]:
    """The first portion in which a valid message says that a flight left or arrived at a moment."""
    first: dict[Key, int] = {}
    for number, portion in enumerate(portions):
        for message in portion:
            if (message["topic"], message["partition"], message["offset"]) in rejected:
                continue
            said = json.loads(message["value"])
            flight = [str(said[name]) for name in FLIGHT_KEY]
            at = _moment(said[_EVENTS[message["topic"]][1]])
            first.setdefault((message["topic"], *flight, at), number)
    return first


def _offset(row: Row) -> Key:
    return row["_topic"], row["_partition"], row["_offset"]


def _moment(said: str) -> datetime:
    return datetime.fromisoformat(said).astimezone(UTC)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _feeds(table: Table) -> list[str]:
    return [read.name for read in stream_reads(table)]


def _slowest(events: Iterable[Event], feeds: Iterable[str]) -> datetime | None:
    """The watermark after these events: of each feed its newest less its lateness, and of these the least."""
    newest: dict[str, datetime] = {}
    for event in events:
        newest[event.feed] = max(newest.get(event.feed, event.at), event.at)
    if not all(feed in newest for feed in feeds):
        return None  # one that has said nothing holds it back
    return min(newest[feed] - (_EVENTS[feed][0].lateness or timedelta()) for feed in feeds)


# What may be early, by kind of table


def _excuse_window(past: Past, table: Table, found: Row | None, expected: Row) -> str | None:
    """A group lacks at most the events that were read when the watermark had passed the group's end."""
    hour, feeds = expected["hour_at"], _feeds(table)
    over_at = hour + timedelta(hours=1)
    events = [one for one in past.by_hour[expected["airport"], hour] if one.feed in feeds]
    late = Counter(event.feed for event in events if past.is_late(event, table, over_at))
    if not late:
        return None
    if "departures" not in expected:  # it says only that it was raised
        return BEHIND if found is None else None
    lacks = {feed: expected[feed] - (found[feed] if found else 0) for feed in ("departures", "arrivals")}
    return BEHIND if all(0 <= less <= late[feed] for feed, less in lacks.items()) else None


def _excuse_join(past: Past, table: Table, found: Row | None, expected: Row) -> str | None:
    """A departure is there once its arrival has come, or can no longer come; each side unless it was read too late."""
    events = past.by_flight[tuple(expected[name] for name in table.key)]
    left, reached = ([one for one in events if one.feed == feed] for feed in ("departures", "arrivals"))
    if any(past.was_sealed(event) for event in events):
        return SEALED
    if len(left) > 1 or len(reached) > 1:
        return CONTRADICTED
    is_lost = any(past.is_late(event, table, event.at) for event in left)
    has_lost = any(past.is_late(event, table, event.at) for event in reached)
    if found is None and is_lost:
        return BEHIND
    if found is not None:
        return BEHIND if has_lost and not found["has_arrived"] else None
    may_come = expected["departed_at"] + TOGETHER >= past.mark_at_least(table)
    return WAITING if may_come and (has_lost or not expected["has_arrived"]) else None


def _excuse_newest(past: Past, table: Table, found: Row | None, expected: Row) -> str | None:
    """The newest event of an aircraft comes through batch where its day was sealed when it was read."""
    feed = "departures" if expected["is_in_flight"] else "arrivals"
    flight = tuple(expected[name] for name in FLIGHT_KEY)
    said = [one for one in past.by_flight[flight] if one.feed == feed and one.at == expected["seen_at"]]
    return SEALED if any(past.was_sealed(event) for event in said) else None


EARLY: Mapping[Callable[..., Any], Callable[[Past, Table, Row | None, Row], str | None]] = {
    hourly_airport_performance.transform: _excuse_window,
    delay_alerts.transform: _excuse_window,
    flights.transform: _excuse_join,
    aircraft_last_seen.transform: _excuse_newest,
}
"""The reason for which a row of a table may differ, given what streams and batch hold of its key; None: it must not."""
