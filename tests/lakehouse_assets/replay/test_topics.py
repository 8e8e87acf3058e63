"""What a message says, when it is sent, and where in its topic it stands."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from airline.replay.errors import TooManyMessages
from airline.replay.schedule import Flight, FlightKey
from airline.replay.topics import Message, Post, number, report


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


FLIGHT = Flight(
    key=FlightKey(date(2013, 1, 1), "UA", 1545, "EWR"),
    dest="IAH",
    tail_number="N14228",
    scheduled_departure_at=at("2013-01-01 10:15"),
    departed_at=at("2013-01-01 10:17"),
    scheduled_arrival_at=at("2013-01-01 14:19"),
    arrived_at=at("2013-01-01 14:30"),
    air_time_minutes=227,
    distance_miles=1400,
)
DAY = date(2013, 1, 1)


def post(key: str = "2013-01-01|UA|1545|EWR") -> Post:
    return Post(at("2013-01-01 10:17:36"), key, 1, "{}", "departures", DAY)


def test_a_departure_tells_nothing_of_the_arrival() -> None:
    departure, _ = report(FLIGHT)
    assert departure.topic == "departures"
    assert departure.value == {
        "flight_date": "2013-01-01",
        "carrier": "UA",
        "flight": 1545,
        "origin": "EWR",
        "dest": "IAH",
        "tail_number": "N14228",
        "scheduled_departure_at": "2013-01-01T10:15:00Z",
        "departed_at": "2013-01-01T10:17:00Z",
    }
    assert departure.sent_at == at("2013-01-01 10:17:36")


def test_an_arrival_tells_when_and_how_long_in_the_air() -> None:
    _, arrival = report(FLIGHT)
    assert arrival.topic == "arrivals"
    assert arrival.value == {
        "flight_date": "2013-01-01",
        "carrier": "UA",
        "flight": 1545,
        "origin": "EWR",
        "dest": "IAH",
        "tail_number": "N14228",
        "scheduled_arrival_at": "2013-01-01T14:19:00Z",
        "arrived_at": "2013-01-01T14:30:00Z",
        "air_time_minutes": 227,
    }
    assert arrival.sent_at == at("2013-01-01 14:30:14")


def test_a_cancelled_flight_sends_nothing() -> None:
    assert list(report(FLIGHT._replace(departed_at=None, arrived_at=None))) == []


def test_a_diverted_flight_never_arrives() -> None:
    assert [sent.topic for sent in report(FLIGHT._replace(arrived_at=None))] == ["departures"]


def test_every_message_takes_between_1_and_90_seconds() -> None:
    flights = [FLIGHT._replace(key=FLIGHT.key._replace(flight=number)) for number in range(2000)]
    lags = Counter(
        (sent.sent_at - at("2013-01-01 10:17")).seconds for flight in flights for sent in [next(report(flight))]
    )
    assert (min(lags), max(lags), len(lags)) == (1, 90, 90)


def test_a_line_holds_the_columns_of_the_kafka_source() -> None:
    message = Message("k", '{"tail":"\\u00e9 \\"x\\""}', "departures", 3, 4749000007, at("2013-01-01 10:17:36"))
    assert message.line == (
        '{"key":"k","value":"{\\"tail\\":\\"\\\\u00e9 \\\\\\"x\\\\\\"\\"}","topic":"departures",'
        '"partition":3,"offset":4749000007,"timestamp":"2013-01-01T10:17:36.000Z"}'
    )
    assert json.loads(message.line)["value"] == message.value


def test_a_line_keeps_letters_as_they_are_and_stays_one_line() -> None:
    message = Message("k", "Zürich\n\u2028", "departures", 3, 1, at("2013-01-01 10:17:36"))
    assert "Zürich\\n" in message.line
    assert "\n" not in message.line
    assert json.loads(message.line)["value"] == "Zürich\n\u2028"


def test_offsets_count_within_the_day_and_partition() -> None:
    """2013-01-01 is day 4,749 after 2000-01-01; the CRC-32 of the keys modulo 4 is 0, 2, 3, 3."""
    keys = ["2013-01-01|UA|1545|EWR", "2013-01-01|B6|725|JFK", "2013-01-01|EV|4308|EWR", "2013-01-01|AA|1|JFK"]
    numbered = number([post(key) for key in keys], DAY)
    assert [(message.key, message.partition, message.offset) for message in numbered] == [
        ("2013-01-01|UA|1545|EWR", 0, 4749000000),
        ("2013-01-01|B6|725|JFK", 2, 4749000000),
        ("2013-01-01|EV|4308|EWR", 3, 4749000000),
        ("2013-01-01|AA|1|JFK", 3, 4749000001),
    ]


def test_the_next_day_has_the_next_block_of_offsets() -> None:
    [message] = number([post()], DAY + timedelta(days=1))
    assert message.offset == 4750000000


def test_a_block_of_offsets_can_be_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airline.replay.topics.LATE_DELIVERIES", 20)
    assert number([post()] * 20, DAY)[-1].offset == 4749000019
    with pytest.raises(TooManyMessages, match="topic departures, landing day 2013-01-01: more than 20 messages"):
        number([post()] * 21, DAY)
