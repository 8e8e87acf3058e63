"""Deliver messages that were held back, on a day of choice.

It is for demonstrations and tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from airline.replay.errors import LandsBeforeItHappens, UnknownFlight
from airline.replay.landing import LandingFolder
from airline.replay.landing_day import Injected, describe
from airline.replay.schedule import FlightKey, time_flights
from airline.replay.source import Source, open_source
from airline.replay.topics import LATE_DELIVERIES, TOPICS, Message, Post, Report, as_json, number, report
from lake.declare.days import utc_day

__all__ = ["deliver_late"]

LAST_SECOND = time(23, 59, 59, tzinfo=UTC)


def deliver_late(
    landing: Path, flights: Sequence[FlightKey], landed_on: date, source: Path | None = None
) -> list[Message]:
    """Let the messages of some flights land on a day that was replayed before.

    They are their departure and arrival messages. They land in files of their own (`departures-delivered-late.jsonl`),
    which no replay touches, at the last second of the day and with offsets beyond those of the day's other messages.
    Delivering a flight again on the same day changes nothing; more flights come after those that are there. Flights
    that were not held back arrive a second time.

    Args:
        landing: the landing folder.
        flights: which flights; usually `ReplayReport.held_back` of a replay with `hold_back`.
        landed_on: the UTC day on which their messages are received.
        source: the source that was replayed.

    Returns:
        All messages that were delivered late on this day, departures first.

    Raises:
        UnknownFlight: a flight is not in the source or never sent a message.
        LandsBeforeItHappens: a flight moved after this day.
    """
    folder = LandingFolder(landing)
    wanted = list(dict.fromkeys([*folder.late_flights(landed_on), *flights]))
    with open_source(source) as records:
        reports = _reports(records, wanted)
    _refuse_the_future(reports, landed_on)
    folder.advance_clock(landed_on)
    delivered: list[Message] = []
    injected: list[Injected] = []
    for topic in TOPICS:
        posts = _posts([sent for sent in reports if sent.topic == topic], landed_on)
        received = number(posts, landed_on, LATE_DELIVERIES)
        for message, post in zip(received, posts, strict=True):
            injected.append(describe(("late", "delivered late"), message, post.undisturbed_day))
        folder.write_late_deliveries(landed_on, topic, received)
        delivered += received
    folder.write_late_manifest(landed_on, injected)
    return delivered


def _reports(records: Source, wanted: Sequence[FlightKey]) -> list[Report]:
    """Return the reports of the flights, in the order in which these are named."""
    found: dict[FlightKey, list[Report]] = {}
    keys = set(wanted)
    for flight_date in sorted({key.flight_date for key in keys}):
        for flight in time_flights(records.flights(flight_date), records.zones):
            if flight.key in keys:
                found[flight.key] = list(report(flight))
    if unknown := [str(key) for key in wanted if not found.get(key)]:
        raise UnknownFlight(records.name, unknown)
    return [sent for key in wanted for sent in found[key]]


def _refuse_the_future(reports: Iterable[Report], landed_on: date) -> None:
    end = datetime.combine(landed_on, LAST_SECOND)
    if early := list(dict.fromkeys(sent.key for sent in reports if sent.sent_at > end)):
        raise LandsBeforeItHappens(str(landed_on), early)


def _posts(reports: Sequence[Report], landed_on: date) -> list[Post]:
    """Return the reports as posts, one a millisecond.

    So they come after every message of a replay, since those are sent at full seconds.
    """
    end = datetime.combine(landed_on, LAST_SECOND)
    return [
        Post(
            end + timedelta(milliseconds=min(place, 999)),
            sent.key,
            0,
            as_json(sent.value),
            sent.topic,
            utc_day(sent.sent_at),
        )
        for place, sent in enumerate(reports, start=1)
    ]
