"""Turn local times of day and delays into moments in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from airline.replay.source import FlightRecord

__all__ = ["Flight", "FlightKey", "time_flights"]


class FlightKey(NamedTuple):
    """The identity of a flight: local date, carrier, number and origin.

    As text: `2013-01-01|UA|1545|EWR`.
    """

    flight_date: date
    carrier: str
    flight: int
    origin: str

    def __str__(self) -> str:
        return f"{self.flight_date}|{self.carrier}|{self.flight}|{self.origin}"

    @classmethod
    def parse(cls, text: str) -> FlightKey:
        """Read the text form, or raise ValueError if it is none."""
        flight_date, carrier, flight, origin = text.split("|")
        return cls(date.fromisoformat(flight_date), carrier, int(flight), origin)


class Flight(NamedTuple):
    """One scheduled flight and what became of it.

    Every moment is an aware UTC timestamp. `departed_at` is None for a cancelled flight, `arrived_at` for a cancelled
    or diverted one.
    """

    key: FlightKey
    dest: str
    tail_number: str | None
    scheduled_departure_at: datetime
    departed_at: datetime | None
    scheduled_arrival_at: datetime
    arrived_at: datetime | None
    air_time_minutes: int | None
    distance_miles: int

    @property
    def identity(self) -> dict[str, Any]:
        """The first fields of every message and timetable.

        They say which flight it is, where to, and with which aircraft.
        """
        return {
            "flight_date": self.key.flight_date.isoformat(),
            "carrier": self.key.carrier,
            "flight": self.key.flight,
            "origin": self.key.origin,
            "dest": self.dest,
            "tail_number": self.tail_number,
        }


def time_flights(records: Iterable[FlightRecord], zones: Mapping[str, ZoneInfo]) -> Iterator[Flight]:
    """Give each record its moments in UTC.

    `zones` has the time zone of every destination.
    """
    for record in records:
        minutes = timedelta(minutes=record.scheduled_departure_clock % 60)
        scheduled_departure = record.scheduled_hour_at.replace(tzinfo=UTC) + minutes
        departed = _later(scheduled_departure, record.departure_delay)
        scheduled_arrival = _scheduled_arrival(record, scheduled_departure, departed, zones[record.dest])
        yield Flight(
            key=FlightKey(record.flight_date, record.carrier, record.flight, record.origin),
            dest=record.dest,
            tail_number=record.tail_number,
            scheduled_departure_at=scheduled_departure,
            departed_at=departed,
            scheduled_arrival_at=scheduled_arrival,
            arrived_at=_later(scheduled_arrival, record.arrival_delay) if departed else None,
            air_time_minutes=record.air_time_minutes,
            distance_miles=record.distance_miles,
        )


def _later(at: datetime, minutes: int | None) -> datetime | None:
    return None if minutes is None else at + timedelta(minutes=minutes)


def _scheduled_arrival(
    record: FlightRecord, scheduled_departure: datetime, departed: datetime | None, zone: ZoneInfo
) -> datetime:
    """Return the moment at which a flight is scheduled to arrive.

    It is the first after the scheduled departure at which clocks at the destination show the scheduled arrival. Where
    clocks show it twice in one night, it is the earlier moment unless the flight would then have been shorter than the
    time that it spent in the air.
    """

    def is_too_early(scheduled: datetime) -> bool:
        if departed is None or record.arrival_delay is None or record.air_time_minutes is None:
            return False
        gate_to_gate = scheduled + timedelta(minutes=record.arrival_delay) - departed
        return gate_to_gate < timedelta(minutes=record.air_time_minutes)

    hour, minute = divmod(record.scheduled_arrival_clock, 60)
    today = scheduled_departure.astimezone(zone).date()
    for days in count():
        shown = datetime.combine(today + timedelta(days=days), time(hour, minute), zone)
        earlier, later = shown.astimezone(UTC), shown.replace(fold=1).astimezone(UTC)
        if earlier > scheduled_departure:
            return later if later > earlier and is_too_early(earlier) else earlier
        if later > scheduled_departure:
            return later
    raise AssertionError("the calendar has ended")
