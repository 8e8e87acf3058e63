"""Decide which messages land on which day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from airline.replay.disorder import Disorder
from airline.replay.errors import NothingLands
from airline.replay.schedule import Flight, FlightKey, time_flights
from airline.replay.source import Source
from airline.replay.topics import TOPICS, Message, Post, Topic, number, report
from lake.declare.days import Days, utc_day

__all__ = [
    "HoldBack",
    "Injected",
    "LandingDay",
    "choose_days",
    "describe",
    "first_landing_day",
    "land",
    "landing_days",
    "nothing",
]

HoldBack = Callable[[FlightKey], bool]

ONE_DAY = timedelta(days=1)
SETTLING_DAYS = 2


def nothing(_: FlightKey) -> bool:
    """Hold back no flight."""
    return False


class Injected(NamedTuple):
    """A line of the manifest: what disorder did to one message.

    `original_landed_on` is the day on which the undisturbed message lands.
    """

    kind: str
    detail: str
    feed: Topic
    topic: Topic
    partition: int
    offset: int
    key: str
    timestamp: datetime
    original_landed_on: date


@dataclass(frozen=True)
class LandingDay:
    """The messages and timetable that land on one day.

    Weather and reference files are not among them.

    Attributes:
        day: the UTC day.
        timetable: all flights scheduled for the next local day, in the order of their departure.
        messages: per topic, what is received on this day, in that order.
        injected: what disorder did to them.
        held_back: flights of which a message was withheld on this day.
    """

    day: date
    timetable: list[Flight]
    messages: dict[Topic, list[Message]]
    injected: list[Injected]
    held_back: set[FlightKey]


def first_landing_day(source: Source) -> date:
    """Return the day on which the first timetable lands."""
    return source.flight_dates.start - ONE_DAY


def landing_days(source: Source, disorder: Disorder) -> Days:
    """Return all landing days of a source.

    From its first timetable to its last message.

    They go at least to the second day after its last flight date, for tables that wait so long for an arrival.
    """
    dates = source.flight_dates
    last = dates.last + SETTLING_DAYS * ONE_DAY
    for flight_date in Days(dates.end - source.reach_days * ONE_DAY, dates.end):
        for flight in time_flights(source.flights(flight_date), source.zones):
            last = max([last, *(utc_day(sent.sent_at) for sent in report(flight))])
    return Days.between(first_landing_day(source), last).widen(after=disorder.longest_days)


def choose_days(source: Source, disorder: Disorder, days: Days | None) -> Days:
    """Return the days asked for that are landing days of the source.

    All of them when none were named.

    Raises:
        NothingLands: none of them is.
    """
    possible = landing_days(source, disorder)
    chosen = possible if days is None else possible.intersect(days)
    if not chosen:
        raise NothingLands(source.name, str(days), str(possible))
    return chosen


def land(source: Source, days: Days, disorder: Disorder, hold_back: HoldBack = nothing) -> Iterator[LandingDay]:
    """Everything that lands on `days`, day by day, each the same whatever the range.

    In memory are one day's flights and the messages that are still on their way, 2 to 14 days of them.
    """
    on_their_way: defaultdict[date, list[Post]] = defaultdict(list)
    held_back: dict[str, FlightKey] = {}
    reach = source.reach_days + disorder.longest_days
    for flight_date in Days(days.start - reach * ONE_DAY, days.end + ONE_DAY):
        flights = list(time_flights(source.flights(flight_date), source.zones))
        held_back |= {str(flight.key): flight.key for flight in flights if hold_back(flight.key)}
        for sent in (sent for flight in flights for sent in report(flight)):
            for post in disorder.posts(sent):
                if (landed_on := post.sent_at.date()) in days:
                    on_their_way[landed_on].append(post)
        if (day := flight_date - ONE_DAY) in days:
            yield _landing_day(day, flights, on_their_way.pop(day, []), held_back)


def _landing_day(
    day: date, timetable: list[Flight], posts: list[Post], held_back: Mapping[str, FlightKey]
) -> LandingDay:
    """Order and number the messages of a day, and only then withhold some.

    So the offset of a message does not depend on which others are withheld.
    """
    messages: dict[Topic, list[Message]] = {}
    injected: list[Injected] = []
    for topic in TOPICS:
        received = sorted(post for post in posts if post.topic == topic)
        numbered = zip(received, number(received, day), strict=True)
        sent = [(post, message) for post, message in numbered if post.key not in held_back]
        messages[topic] = [message for _, message in sent]
        injected += [describe(post.injected, message, post.undisturbed_day) for post, message in sent if post.injected]
    timetable.sort(key=lambda flight: (flight.scheduled_departure_at, flight.key))
    withheld = {held_back[post.key] for post in posts if post.key in held_back}
    return LandingDay(day, timetable, messages, injected, withheld)


def describe(injected: tuple[str, str], message: Message, undisturbed_day: date) -> Injected:
    """Return the manifest's line for a message to which something was done."""
    kind, detail = injected
    place = (message.topic, message.topic, message.partition, message.offset)
    return Injected(kind, detail, *place, message.key, message.timestamp, undisturbed_day)
