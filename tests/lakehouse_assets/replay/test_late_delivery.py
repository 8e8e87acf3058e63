"""Flights that are held back and delivered days later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from airline.replay import FlightKey, deliver_late, replay
from airline.replay.errors import LandsBeforeItHappens, UnknownFlight
from lake.declare.days import Days

pytestmark = pytest.mark.slow

Lines = Callable[..., list[dict[str, Any]]]
Tree = Callable[[Path], dict[str, bytes]]

UA_1545 = FlightKey(date(2013, 1, 1), "UA", 1545, "EWR")
AA_413 = FlightKey(date(2013, 1, 1), "AA", 413, "JFK")
MQ_4525 = FlightKey(date(2013, 1, 1), "MQ", 4525, "LGA")  # diverted
EV_4308 = FlightKey(date(2013, 1, 1), "EV", 4308, "EWR")  # cancelled
JAN_3 = date(2013, 1, 3)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


def places(lines: Lines, landing: Path) -> dict[str, tuple[str, str, int, int]]:
    found = lines(*landing.glob("departures/*/*"), *landing.glob("arrivals/*/*"))
    return {
        line["topic"] + line["key"]: (line["value"], line["timestamp"], line["partition"], line["offset"])
        for line in found
    }


def test_flights_held_back_send_nothing_and_are_reported(source: Path, landing: Path, lines: Lines) -> None:
    report = replay(landing, source=source, hold_back=lambda key: key in (UA_1545, MQ_4525, EV_4308))
    assert report.held_back == (MQ_4525, UA_1545)
    assert (report.lines["departures"], report.lines["arrivals"], report.lines["schedules"]) == (6, 6, 9)
    assert not {"departures" + str(UA_1545), "arrivals" + str(UA_1545)} & set(places(lines, landing))


def test_holding_back_does_not_move_other_messages(source: Path, tmp_path: Path, lines: Lines) -> None:
    replay(tmp_path / "all", source=source, late=0.4, duplicates=0.4, malformed=0.4)
    replay(
        tmp_path / "some", source=source, late=0.4, duplicates=0.4, malformed=0.4, hold_back=lambda key: key == UA_1545
    )
    everything = places(lines, tmp_path / "all")
    assert places(lines, tmp_path / "some") == {key: value for key, value in everything.items() if "|1545|" not in key}


def test_delivered_messages_land_in_files_of_their_own(source: Path, landing: Path, lines: Lines) -> None:
    report = replay(landing, source=source, hold_back=lambda key: key in (UA_1545, MQ_4525))
    delivered = deliver_late(landing, report.held_back, JAN_3, source)
    departures = lines(landing / "departures/landed_on=2013-01-03/departures-delivered-late.jsonl")
    arrivals = lines(landing / "arrivals/landed_on=2013-01-03/arrivals-delivered-late.jsonl")
    assert [(line["key"], line["partition"], line["offset"], line["timestamp"]) for line in departures] == [
        ("2013-01-01|MQ|4525|LGA", 3, 4751500000, "2013-01-03T23:59:59.001Z"),
        ("2013-01-01|UA|1545|EWR", 0, 4751500000, "2013-01-03T23:59:59.002Z"),
    ]
    assert [(line["key"], line["offset"]) for line in arrivals] == [("2013-01-01|UA|1545|EWR", 4751500000)]
    assert [message.line for message in delivered] == [
        *(landing / "departures/landed_on=2013-01-03/departures-delivered-late.jsonl").read_text().splitlines(),
        *(landing / "arrivals/landed_on=2013-01-03/arrivals-delivered-late.jsonl").read_text().splitlines(),
    ]


def test_delivered_messages_say_what_they_would_have_said(source: Path, tmp_path: Path, lines: Lines) -> None:
    replay(tmp_path / "in time", source=source)
    replay(tmp_path / "late", source=source, hold_back=lambda key: key == UA_1545)
    deliver_late(tmp_path / "late", [UA_1545], JAN_3, source)
    in_time, late = places(lines, tmp_path / "in time"), places(lines, tmp_path / "late")
    assert {key: value for key, (value, *_) in late.items()} == {key: value for key, (value, *_) in in_time.items()}


def test_delivering_again_changes_nothing_and_more_flights_come_after(source: Path, landing: Path, tree: Tree) -> None:
    replay(landing, source=source)
    file = "departures/landed_on=2013-01-03/departures-delivered-late.jsonl"
    deliver_late(landing, [UA_1545], JAN_3, source)
    once = tree(landing)
    deliver_late(landing, [UA_1545], JAN_3, source)
    assert tree(landing) == once
    deliver_late(landing, [AA_413, UA_1545], JAN_3, source)
    assert tree(landing)[file].startswith(once[file])
    assert tree(landing)[file].count(b"\n") == 2


def test_a_replay_of_the_day_leaves_them_alone(source: Path, landing: Path, tree: Tree) -> None:
    replay(landing, source=source, hold_back=lambda key: key == UA_1545)
    deliver_late(landing, [UA_1545], JAN_3, source)
    before = tree(landing)
    replay(landing, Days.of(JAN_3), source, hold_back=lambda key: key == UA_1545)
    assert tree(landing) == before


def test_the_manifest_names_them(source: Path, landing: Path, lines: Lines) -> None:
    deliver_late(landing, [UA_1545], JAN_3, source)
    departure, arrival = lines(landing / "_manifest/landed_on=2013-01-03.delivered-late.jsonl")
    assert departure == {
        "kind": "late",
        "detail": "delivered late",
        "feed": "departures",
        "topic": "departures",
        "partition": 0,
        "offset": 4751500000,
        "key": "2013-01-01|UA|1545|EWR",
        "timestamp": "2013-01-03T23:59:59.001Z",
        "original_landed_on": "2013-01-01",
    }
    assert arrival["topic"] == "arrivals"


def test_the_clock_follows(source: Path, landing: Path) -> None:
    replay(landing, Days.parse("2013-01-01"), source)
    deliver_late(landing, [UA_1545], JAN_3, source)
    assert (landing / "_clock.json").read_text() == '{"now": "2013-01-04T00:00:00Z"}\n'


@pytest.mark.parametrize("key", [EV_4308, UA_1545._replace(flight=1), UA_1545._replace(flight_date=date(2020, 1, 1))])
def test_a_flight_without_messages_is_refused(source: Path, landing: Path, key: FlightKey) -> None:
    with pytest.raises(UnknownFlight) as caught:
        deliver_late(landing, [UA_1545, key], JAN_3, source)
    assert caught.value.flights == [str(key)]
    assert not landing.exists()


def test_a_flight_is_not_reported_before_it_moves(source: Path, landing: Path) -> None:
    with pytest.raises(
        LandsBeforeItHappens, match=r"landing day 2012-12-31: 2013-01-01\|UA\|1545\|EWR would be reported"
    ):
        deliver_late(landing, [UA_1545], date(2012, 12, 31), source)
    assert not landing.exists()
