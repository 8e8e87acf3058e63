"""Worlds: the messages of one seed each, with everything that feeds do to them, for tests that pack many into a lake.

A world has airports, flight numbers and a partition of its own, so a row says which world it is about and fifty seeds
cost one set of queries. Its messages are out of order, repeated, contradictory, late within the lateness and beyond it,
broken, null or from the future, about events on the exact edges of hours and days, around days that have something to
them: a year ends, or clocks are put forward or back.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tests.streaming import Message, Messages, text

__all__ = ["EVENT_DAYS", "SEASONS", "World", "tally", "world_of"]

SEASONS: Mapping[str, date] = {
    "new year": date(2012, 12, 29),
    "clocks forward": date(2013, 3, 7),
    "clocks back": date(2013, 10, 31),
}
"""The first day of the events; on the fourth the year begins, or clocks change in New York."""

EVENT_DAYS, SPECIAL_DAY = 6, 4
LATENESS = timedelta(hours=3)

EDGES = [
    time(0, 0, 0), time(23, 59, 59), time(8, 59, 59), time(9, 0, 0), time(12, 30, 0), time(12, 31, 0),
    time(4, 59, 59), time(5, 0, 0),  # midnight in New York
    time(5, 30, 0), time(6, 30, 0),  # both are 1:30 in New York when clocks are put back
    time(6, 59, 59), time(7, 0, 0),  # 1:59:59 and 3:00 when they are put forward
]  # fmt: skip
DELIVERIES = {
    "soon": timedelta(seconds=20),
    "late, within the lateness": timedelta(hours=2, minutes=59),
    "late, exactly the lateness": LATENESS,
    "late, beyond the lateness": timedelta(hours=20),
    "days late": timedelta(days=3),
    "before it happened": timedelta(seconds=-1),
}
_SOON_OF_TEN = 5
SECOND_SAYINGS: list[dict[str, str | None]] = [
    {}, {}, {"tail_number": "N00001"}, {"tail_number": "N99999"}, {"tail_number": None}, {"dest": None},
]  # fmt: skip
UNREADABLE = ["{nope", "[]", None, "{}", ""]
_PLACES = re.compile(r"\b[AZ]([A-Z]{2})\b|partition\W+(\d+)")


@dataclass
class World:
    """The messages of one seed.

    Attributes:
        number: its place in the lake, from 0; its partition.
        seed: of all its choices.
        first: the first day of its events.
        event_days: on how many days they lie.
        holds: what was drawn, counted.
    """

    number: int
    seed: int
    first: date
    event_days: int = EVENT_DAYS

    def __post_init__(self) -> None:
        self.random: random.Random = random.Random(self.seed)
        self.holds: Counter[str] = Counter()
        self._made = Messages()
        letters = chr(65 + self.number // 26) + chr(65 + self.number % 26)
        self.places = {"origin": f"A{letters}", "dest": f"Z{letters}"}
        if self.number % 2:  # an aircraft of its own; the others share one
            self.places["tail_number"] = f"N1{letters}"

    def messages(self) -> list[Message]:
        """All messages, as a broker numbers them: by topic, in the order in which they are sent."""
        sent = list(self._sent())
        self.random.shuffle(sent)
        sent.sort(key=lambda message: str(message["timestamp"]))
        offsets: Counter[str] = Counter()
        numbered = []
        for message in sent:
            numbered.append(message | {"partition": self.number, "offset": offsets[message["topic"]]})
            offsets[message["topic"]] += 1
        self.holds["messages"] = len(numbered)
        return numbered

    def _sent(self) -> Iterator[Message]:
        for flight in range(1, self.random.randint(3, 9)):
            yield from self._flight(self.number * 10 + flight)
        if self.random.random() < 0.3:
            yield from self._burst()
        for _ in range(self.random.randint(0, 2)):
            yield from self._broken()

    def _flight(self, number: int) -> Iterator[Message]:
        left = self._moment()
        flight_date = (left - timedelta(days=self.random.choice([0, 0, 0, 1]))).date()
        scheduled = left - timedelta(minutes=self.random.choice([-5, 0, 14, 15, 29, 30, 31, 200]))
        yield from self._repeated(
            self._made.departure(
                flight_date, number, scheduled=scheduled, left=left, sent=self._delivered(left), **self._others()
            )
        )
        if self.random.random() < 0.8:
            yield from self._arrival(flight_date, number, left)

    def _arrival(self, flight_date: date, number: int, left: datetime) -> Iterator[Message]:
        """Up to 24 hours after the departure, which is as far as the two belong together, or one second more."""
        flown = self.random.choice([timedelta(hours=2), timedelta(minutes=59), timedelta(hours=24)])
        reached = left + flown + timedelta(seconds=self.random.choice([0, 0, 1]))
        self.holds["arrivals exactly 24 hours after the departure"] += reached - left == timedelta(hours=24)
        yield from self._repeated(
            self._made.arrival(
                flight_date, number, scheduled=reached - timedelta(minutes=self.random.choice([0, 20])),
                reached=reached, sent=self._delivered(reached), **self._others(),
            )
        )  # fmt: skip

    def _burst(self) -> Iterator[Message]:
        """Four to six departures of one hour, 30 minutes late give or take one: an alert or nearly one."""
        hour = self._at(self._day(), time(14))
        for number in range(self.random.randint(4, 6)):
            left = hour + timedelta(minutes=self.random.choice([0, 10, 59]))
            scheduled = left - timedelta(minutes=self.random.choice([29, 30, 30, 30, 31]))
            yield self._made.departure(
                left.date(), 1000 + self.number * 10 + number, scheduled=scheduled, left=left,
                sent=self._delivered(left), **self._others(),
            )  # fmt: skip

    def _broken(self) -> Iterator[Message]:
        """No JSON, no event time, no origin, or an event of a month ago."""
        topic, sent = self.random.choice(["departures", "arrivals"]), self._moment()
        self.holds["broken"] += 1
        if self.random.random() < 0.5:
            yield self._made.broken(topic, self.random.choice(UNREADABLE), sent)
            return
        moment = sent - timedelta(days=self.random.choice([0, 31]))
        message = self._made.departure(moment.date(), 1, scheduled=moment, left=moment, sent=sent, **self.places)
        yield self._made.again(message, sent, **{self.random.choice(["departed_at", "origin", "flight_date"]): None})
        yield message

    def _repeated(self, message: Message) -> Iterator[Message]:
        """A message, and perhaps others that say the same or contradict it."""
        yield message
        for _ in range(self.random.choice([0, 0, 0, 1, 2])):
            sent = datetime.fromisoformat(message["timestamp"]) + timedelta(hours=self.random.choice([0, 1, 30]))
            says = self.random.choice([*SECOND_SAYINGS, self._moved(message)])
            self.holds["contradicted" if says else "repeated"] += 1
            yield self._made.again(message, sent, **says)

    def _moved(self, message: Message) -> dict[str, str | None]:
        """The event nine hours earlier than was said first: often on another day."""
        column = "departed_at" if message["topic"] == "departures" else "arrived_at"
        moment = datetime.fromisoformat(json.loads(message["value"])[column]) - timedelta(hours=9)
        return {column: text(moment)}

    def _others(self) -> dict[str, Any]:
        has_tail = self.random.random() < 0.9
        self.holds["null tail number"] += not has_tail
        return self.places if has_tail else self.places | {"tail_number": None}

    def _moment(self) -> datetime:
        day, edge = self._day(), self.random.choice(EDGES)
        self.holds["at midnight UTC, or a second before"] += edge in EDGES[:2]
        self.holds["on the day of the season"] += day == SPECIAL_DAY
        return self._at(day, edge)

    def _day(self) -> int:
        days = range(1, self.event_days + 1)
        weighted: list[int] = [*days, *(day for day in days if day == SPECIAL_DAY)]
        return self.random.choice(weighted)

    def _at(self, day: int, clock: time) -> datetime:
        return datetime.combine(self.first + timedelta(days=day - 1), clock, tzinfo=UTC)

    def _delivered(self, happened: datetime) -> datetime:
        how = self.random.choice([*["soon"] * _SOON_OF_TEN, *(name for name in DELIVERIES if name != "soon")])
        self.holds[how] += 1
        return happened + DELIVERIES[how]


def world_of(row: str) -> int | None:
    """The number of the world that a row, as text, is about; None where it does not say."""
    found = _PLACES.search(row)
    if found is None:
        return None
    letters, partition = found.groups()
    return int(partition) if letters is None else 26 * (ord(letters[0]) - 65) + ord(letters[1]) - 65


def tally(worlds: Iterable[World]) -> Counter[str]:
    """What these worlds hold together."""
    return sum((world.holds for world in worlds), Counter())
