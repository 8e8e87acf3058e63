"""Local times of day and delays become moments in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from airline.replay.schedule import Flight, FlightKey, time_flights
from airline.replay.source import FlightRecord

NEW_YORK = "America/New_York"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def flight(
    hour_at: str,
    departure: int,
    arrival: int,
    zone: str = NEW_YORK,
    departure_delay: int | None = 0,
    arrival_delay: int | None = 0,
    air_time: int | None = 30,
) -> Flight:
    """Clocks are given as in the source: 1530."""
    hour = datetime.fromisoformat(hour_at)
    record = FlightRecord(
        flight_date=date(2013, 1, 1),
        carrier="UA",
        flight=1,
        origin="EWR",
        dest="XXX",
        tail_number=None,
        scheduled_hour_at=hour,
        scheduled_departure_clock=departure // 100 * 60 + departure % 100,
        scheduled_arrival_clock=(arrival // 100 * 60 + arrival % 100) % 1440,
        departure_delay=departure_delay,
        arrival_delay=arrival_delay,
        air_time_minutes=air_time,
        distance_miles=100,
    )
    [timed] = time_flights([record], {"XXX": ZoneInfo(zone)})
    return timed


def test_a_flight_to_another_zone() -> None:
    timed = flight("2013-01-01 10:00", 515, 819, "America/Chicago", departure_delay=2, arrival_delay=11)
    assert timed.scheduled_departure_at == at("2013-01-01 10:15")
    assert timed.departed_at == at("2013-01-01 10:17")
    assert timed.scheduled_arrival_at == at("2013-01-01 14:19")
    assert timed.arrived_at == at("2013-01-01 14:30")


def test_delays_are_added_to_the_schedule_not_to_the_clock() -> None:
    timed = flight("2013-01-01 23:00", 1800, 2000, departure_delay=1301, arrival_delay=1272)
    assert timed.departed_at == at("2013-01-02 20:41")
    assert timed.arrived_at == at("2013-01-02 22:12")


def test_an_arrival_earlier_on_the_clock_than_the_departure_is_on_the_next_day() -> None:
    assert flight("2013-01-02 04:00", 2359, 440).scheduled_arrival_at == at("2013-01-02 09:40")


def test_flying_west_may_arrive_before_it_left_by_the_clock() -> None:
    assert flight("2013-01-01 14:00", 900, 855, "America/Chicago").scheduled_arrival_at == at("2013-01-01 14:55")


def test_2400_is_the_midnight_that_ends_the_day() -> None:
    assert flight("2013-01-01 23:00", 1800, 2400).scheduled_arrival_at == at("2013-01-02 05:00")


def test_an_arrival_at_the_minute_of_departure_is_a_day_later() -> None:
    assert flight("2013-01-01 15:00", 1000, 1000).scheduled_arrival_at == at("2013-01-02 15:00")


def test_the_hour_of_departure_may_begin_at_half_past_in_utc() -> None:
    assert flight("2013-01-01 04:30", 1045, 1300, "Asia/Kolkata").scheduled_departure_at == at("2013-01-01 05:15")


def test_the_night_on_which_clocks_go_forward() -> None:
    """Clocks in New York went from 2 to 3 at 7:00 UTC on 10 March 2013."""
    assert flight("2013-03-10 05:00", 30, 330).scheduled_arrival_at == at("2013-03-10 07:30")
    assert flight("2013-03-10 02:00", 2130, 130).scheduled_arrival_at == at("2013-03-10 06:30")


def test_a_time_that_no_clock_shows_is_read_as_if_clocks_had_not_changed() -> None:
    assert flight("2013-03-10 05:00", 30, 230).scheduled_arrival_at == at("2013-03-10 07:30")


class TestTheNightOnWhichClocksGoBack:
    """Clocks in New York went from 2 to 1 at 6:00 UTC on 3 November 2013: 1:30 was at 5:30 and at 6:30 UTC."""

    def test_the_earlier_moment_is_taken_if_the_flight_could_be_so_short(self) -> None:
        timed = flight("2013-11-03 04:00", 10, 130, air_time=40)
        assert timed.scheduled_arrival_at == at("2013-11-03 05:30")

    def test_the_later_moment_is_taken_if_the_flight_was_longer_in_the_air(self) -> None:
        timed = flight("2013-11-03 04:00", 10, 130, air_time=90)
        assert timed.scheduled_arrival_at == at("2013-11-03 06:30")
        assert timed.arrived_at == at("2013-11-03 06:30")

    def test_the_later_moment_is_taken_if_the_earlier_is_before_the_departure(self) -> None:
        assert flight("2013-11-03 05:00", 150, 120).scheduled_arrival_at == at("2013-11-03 06:20")

    def test_a_flight_that_never_arrived_has_the_earlier_one(self) -> None:
        timed = flight("2013-11-03 04:00", 10, 130, arrival_delay=None, air_time=None)
        assert timed.scheduled_arrival_at == at("2013-11-03 05:30")

    def test_contradictory_air_times_on_other_nights_move_nothing(self) -> None:
        assert flight("2013-01-01 15:00", 1000, 1100, air_time=300).scheduled_arrival_at == at("2013-01-01 16:00")


def test_a_cancelled_flight_neither_departs_nor_arrives() -> None:
    timed = flight("2013-01-01 15:00", 1000, 1100, departure_delay=None, arrival_delay=None, air_time=None)
    assert (timed.departed_at, timed.arrived_at) == (None, None)


def test_an_arrival_without_a_departure_is_none() -> None:
    assert flight("2013-01-01 15:00", 1000, 1100, departure_delay=None).arrived_at is None


def test_a_diverted_flight_departs_and_does_not_arrive() -> None:
    timed = flight("2013-01-01 15:00", 1000, 1100, arrival_delay=None, air_time=None)
    assert timed.departed_at == at("2013-01-01 15:00")
    assert timed.arrived_at is None


def test_a_key_reads_its_own_text() -> None:
    assert FlightKey.parse("2013-01-01|UA|1545|EWR") == FlightKey(date(2013, 1, 1), "UA", 1545, "EWR")


@pytest.mark.parametrize("text", ["", "2013-01-01|UA|1545", "2013-13-01|UA|1545|EWR", "2013-01-01|UA|x|EWR"])
def test_a_key_refuses_other_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        FlightKey.parse(text)
