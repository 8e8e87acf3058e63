"""What lands where: the small source in full, and the same bytes whatever the range."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from airline.replay import FlightKey, messages, replay
from airline.replay.errors import NothingLands, ReplayError
from airline.replay.landing import LandingFolder
from lake.declare.days import Days
from lake.errors import FolderNotWritable

pytestmark = pytest.mark.slow

MakeSource = Callable[..., Path]
Lines = Callable[..., list[dict[str, Any]]]
Tree = Callable[[Path], dict[str, bytes]]

DISORDER: dict[str, Any] = {"late": 0.3, "duplicates": 0.3, "malformed": 0.3, "seed": 11}


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


def test_the_small_source_lands_in_these_files(source: Path, landing: Path, tree: Tree) -> None:
    replay(landing, source=source)
    assert list(tree(landing)) == sorted(
        [
            "_clock.json",
            *(
                f"{feed}/landed_on={day}/{feed}.jsonl"
                for feed in ("airlines", "airports", "planes")
                for day in ("2012-12-31", "2013-01-01")
            ),
            *(
                f"{topic}/landed_on={day}/{topic}.jsonl"
                for topic in ("arrivals", "departures")
                for day in Days.parse("2012-12-31..2013-01-05")
            ),
            "schedules/landed_on=2012-12-31/timetable-2013-01-01.jsonl",
            "schedules/landed_on=2013-01-01/timetable-2013-01-02.jsonl",
            "schedules/landed_on=2013-01-02/timetable-2013-01-03.jsonl",
            "weather/landed_on=2013-01-01/06.jsonl",
            "weather/landed_on=2013-01-02/00.jsonl",
        ]
    )


def test_the_report_counts_what_landed(source: Path, landing: Path, tree: Tree) -> None:
    report = replay(landing, source=source)
    assert str(report.days) == "2012-12-31..2013-01-05"
    assert report.lines == {
        "schedules": 9,
        "weather": 3,
        "departures": 8,
        "arrivals": 7,
        "planes": 4,
        "airlines": 4,
        "airports": 18,
    }
    assert (report.injected, report.held_back) == ({}, ())
    landed = {name: content for name, content in tree(landing).items() if Path(name).name != "_clock.json"}
    assert (report.files, report.bytes) == (len(landed), sum(map(len, landed.values())))
    assert report.now == datetime(2013, 1, 6, tzinfo=UTC)


def test_messages_land_on_the_utc_day_of_their_timestamp(source: Path, landing: Path, lines: Lines) -> None:
    replay(landing, source=source)
    received = {
        day: [
            (message["key"], message["timestamp"])
            for message in lines(landing / "departures" / f"landed_on={day}" / "departures.jsonl")
        ]
        for day in ("2012-12-31", "2013-01-01", "2013-01-02", "2013-01-03", "2013-01-04")
    }
    assert {day: [key for key, _ in found] for day, found in received.items()} == {
        "2012-12-31": [],
        "2013-01-01": ["2013-01-01|UA|1545|EWR", "2013-01-01|AA|413|JFK", "2013-01-01|MQ|4525|LGA"],
        "2013-01-02": ["2013-01-01|B6|739|JFK", "2013-01-02|DL|42|LGA"],
        "2013-01-03": ["2013-01-02|B6|707|JFK", "2013-01-03|AA|301|LGA"],
        "2013-01-04": ["2013-01-03|UA|9|EWR"],
    }
    assert received["2013-01-01"][0] == ("2013-01-01|UA|1545|EWR", "2013-01-01T10:17:36.000Z")
    assert all(timestamp.startswith(day) for day, found in received.items() for _, timestamp in found)


def test_a_departure_message_in_full(source: Path, landing: Path) -> None:
    replay(landing, source=source)
    first = (landing / "departures/landed_on=2013-01-01/departures.jsonl").read_text().splitlines()[0]
    assert first == (
        '{"key":"2013-01-01|UA|1545|EWR",'
        r'"value":"{\"flight_date\":\"2013-01-01\",\"carrier\":\"UA\",\"flight\":1545,\"origin\":\"EWR\",\"dest\":\"IAH\",'
        r"\"tail_number\":\"N14228\",\"scheduled_departure_at\":\"2013-01-01T10:15:00Z\","
        r'\"departed_at\":\"2013-01-01T10:17:00Z\"}",'
        '"topic":"departures","partition":0,"offset":4749000000,"timestamp":"2013-01-01T10:17:36.000Z"}'
    )


def test_timetables_land_the_day_before_and_hold_cancelled_flights(source: Path, landing: Path, lines: Lines) -> None:
    replay(landing, source=source)
    timetable = lines(landing / "schedules/landed_on=2012-12-31/timetable-2013-01-01.jsonl")
    assert [(line["carrier"], line["flight"]) for line in timetable] == [
        ("UA", 1545),
        ("AA", 413),
        ("MQ", 4525),
        ("EV", 4308),
        ("B6", 739),
    ]
    assert timetable[3] == {
        "flight_date": "2013-01-01",
        "carrier": "EV",
        "flight": 4308,
        "origin": "EWR",
        "dest": "RDU",
        "tail_number": "N18120",
        "scheduled_departure_at": "2013-01-01T21:30:00Z",
        "scheduled_arrival_at": "2013-01-01T23:15:00Z",
        "distance_miles": 416,
    }


def test_airports_of_the_supplement_have_their_own_zone(source: Path, landing: Path, lines: Lines) -> None:
    """San Juan is at UTC-4 all year: 11:40 there is 15:40 UTC."""
    replay(landing, source=source)
    [flight] = [
        line
        for line in lines(landing / "schedules/landed_on=2012-12-31/timetable-2013-01-01.jsonl")
        if line["dest"] == "SJU"
    ]
    assert flight["scheduled_arrival_at"] == "2013-01-01T15:40:00Z"


def test_weather_lands_by_utc_hour(source: Path, landing: Path, lines: Lines) -> None:
    replay(landing, source=source)
    observed = lines(landing / "weather/landed_on=2013-01-01/06.jsonl")
    assert [line["airport"] for line in observed] == ["EWR", "JFK"]
    assert observed[0] == {
        "airport": "EWR",
        "observed_at": "2013-01-01T06:00:00Z",
        "temperature_f": 39.02,
        "dew_point_f": 26.06,
        "humidity_percent": 59.37,
        "wind_direction_degrees": 270,
        "wind_speed_mph": 10.357019999999999,
        "wind_gust_mph": None,
        "precipitation_inches": 0.0,
        "pressure_millibars": 1012.0,
        "visibility_miles": 10.0,
    }


def test_reference_lines_in_full(source: Path, landing: Path, lines: Lines) -> None:
    replay(landing, source=source)
    day = "landed_on=2012-12-31"
    assert lines(landing / "planes" / day / "planes.jsonl")[1] == {
        "tail_number": "N9DL",
        "year_built": None,
        "type": "Fixed wing multi engine",
        "manufacturer": "AIRBUS",
        "model": "A320-214",
        "engines": 2,
        "seats": 182,
        "speed_mph": 432,
        "engine": "Turbo-fan",
    }
    assert lines(landing / "airlines" / day / "airlines.jsonl")[0] == {
        "carrier": "EV",
        "name": "ExpressJet, Airlines Inc.",
    }
    assert lines(landing / "airports" / day / "airports.jsonl")[0] == {
        "airport": "ATL",
        "name": "Hartsfield Jackson Atlanta Intl",
        "latitude": 33.636719,
        "longitude": -84.428067,
        "altitude_feet": 1026,
        "utc_offset_hours": -5,
        "dst": "A",
        "time_zone": "America/New_York",
    }


def test_reference_files_land_on_the_first_replayed_day_only_if_none_is_there(source: Path, landing: Path) -> None:
    def landed() -> list[str]:
        return sorted(folder.name for folder in (landing / "planes").iterdir())

    replay(landing, Days.parse("2013-01-02..2013-01-03"), source)
    assert landed() == ["landed_on=2013-01-02"]
    replay(landing, Days.parse("2013-01-03"), source)
    assert landed() == ["landed_on=2013-01-02"]
    replay(landing, Days.parse("2012-12-31..2013-01-05"), source)
    assert landed() == ["landed_on=2012-12-31", "landed_on=2013-01-01", "landed_on=2013-01-02"]


def test_a_second_source_lands_its_own_reference_files(source: Path, landing: Path, make_source: MakeSource) -> None:
    other = make_source(name="other", airlines="carrier,name\nZZ,Another\nUA,United\nEV,ExpressJet\n")
    replay(landing, Days.parse("2012-12-31..2013-01-01"), source)

    for _ in range(2):  # and once only
        replay(landing, Days.parse("2013-01-02..2013-01-03"), other)

    landed = sorted(folder.name for folder in (landing / "airlines").iterdir())
    assert landed == ["landed_on=2012-12-31", "landed_on=2013-01-01", "landed_on=2013-01-02"]
    assert b'"ZZ"' in (landing / "airlines" / "landed_on=2013-01-02" / "airlines.jsonl").read_bytes()
    assert (landing / "planes" / "landed_on=2013-01-02" / "planes.jsonl").exists()


def without_first_references(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Without the reference files that the first replayed day has because none landed before it."""
    scheduled = ("2012-12-31", "2013-01-01")
    return {
        name: content
        for name, content in tree.items()
        if name.split("/")[0] not in ("planes", "airlines", "airports") or any(day in name for day in scheduled)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "disorder"),
    [
        pytest.param("backwards", {}, id="backwards-in order"),
        pytest.param("shuffled", DISORDER, id="shuffled-in disorder"),
        pytest.param("backwards", DISORDER, id="backwards-in disorder", marks=pytest.mark.streams),
        pytest.param("shuffled", {}, id="shuffled-in order", marks=pytest.mark.streams),
    ],
)
def test_a_day_is_the_same_alone_and_in_any_range(
    source: Path, tmp_path: Path, tree: Tree, disorder: dict[str, Any], order: str
) -> None:
    whole = replay(tmp_path / "whole", source=source, **disorder)
    days = list(whole.days)
    if order == "shuffled":
        random.Random(1).shuffle(days)
    else:
        days.reverse()
    for day in days:
        replay(tmp_path / "single", Days.of(day), source, **disorder)
    assert without_first_references(tree(tmp_path / "single")) == tree(tmp_path / "whole")


def test_a_rerun_gives_the_same_bytes(source: Path, landing: Path, tree: Tree) -> None:
    replay(landing, source=source, **DISORDER)
    before = tree(landing)
    replay(landing, Days.parse("2013-01-01..2013-01-03"), source, **DISORDER)
    assert tree(landing) == before


def test_a_rerun_removes_what_the_day_no_longer_has_and_leaves_strange_files(
    source: Path, make_source: Callable[..., Path], landing: Path, tree: Tree, tmp_path: Path
) -> None:
    replay(landing, source=source, **DISORDER)
    strange = landing / "departures/landed_on=2013-01-02/departures-again.jsonl"
    strange.write_text("{}\n")
    other = make_source(name="other", weather=(source / "weather.csv").read_text().replace("T06:", "T09:"))
    replay(landing, Days.parse("2012-12-31..2013-01-16"), other)
    for day in Days.parse("2013-01-06..2013-01-16"):
        assert (landing / f"departures/landed_on={day}").exists()
    replay(tmp_path / "fresh", source=other)
    found = {
        name: content
        for name, content in tree(landing).items()
        if any(str(day) in name for day in Days.parse("2012-12-31..2013-01-05"))
    }
    expected = {name: content for name, content in tree(tmp_path / "fresh").items() if "landed_on" in name}
    assert found == {**expected, "departures/landed_on=2013-01-02/departures-again.jsonl": b"{}\n"}


def test_days_beyond_the_source_are_left_out(source: Path, landing: Path) -> None:
    assert str(replay(landing, Days.parse("2013-01-04..2013-02-28"), source).days) == "2013-01-04..2013-01-05"


def test_days_apart_from_the_source_are_refused(source: Path, landing: Path) -> None:
    with pytest.raises(NothingLands, match=r"nothing lands on these days; its landing days are 2012-12-31..2013-01-05"):
        replay(landing, Days.parse("2014-01-01"), source)
    assert not landing.exists()


def test_a_wrong_source_lands_nothing(source: Path, landing: Path) -> None:
    (source / "weather.csv").write_text("origin\nEWR\n")
    with pytest.raises(ReplayError):
        replay(landing, source=source)
    assert not landing.exists()


def test_hourly_archives_hold_the_same_messages(source: Path, landing: Path, lines: Lines) -> None:
    replay(landing, source=source, **DISORDER)
    daily = {topic: lines(*sorted((landing / topic).glob("*/*"))) for topic in ("departures", "arrivals")}
    replay(landing, source=source, every="hour", **DISORDER)
    hourly = {topic: lines(*sorted((landing / topic).glob("*/*"))) for topic in ("departures", "arrivals")}
    assert hourly == daily
    for file in (landing / "departures").glob("*/*"):
        hour = file.name.removeprefix("departures-").removesuffix(".jsonl")
        assert {line["timestamp"][11:13] for line in lines(file)} == {hour}
    replay(landing, source=source, **DISORDER)
    assert {file.name for file in (landing / "departures").glob("*/*")} == {"departures.jsonl"}


def clock(landing: Path) -> object:
    return json.loads((landing / "_clock.json").read_text())


def test_the_clock_never_goes_back(source: Path, landing: Path) -> None:
    replay(landing, Days.parse("2013-01-03"), source)
    assert clock(landing) == {"now": "2013-01-04T00:00:00Z"}
    assert replay(landing, Days.parse("2013-01-01"), source).now == datetime(2013, 1, 4, tzinfo=UTC)
    assert clock(landing) == {"now": "2013-01-04T00:00:00Z"}
    replay(landing, Days.parse("2013-01-04"), source)
    assert clock(landing) == {"now": "2013-01-05T00:00:00Z"}


def test_the_clock_is_never_behind_what_has_landed(source: Path, landing: Path) -> None:
    """What is sent later than the clock of a lake is rejected there, so streams may run beside a replay."""
    seen: list[object] = []

    class Watched(LandingFolder):
        def write_topic(self, *given: Any) -> None:
            seen.append(clock(landing))
            super().write_topic(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("airline.replay.run.LandingFolder", Watched)
        replay(landing, Days.parse("2013-01-01..2013-01-02"), source)
    ends = [{"now": "2013-01-02T00:00:00Z"}, {"now": "2013-01-03T00:00:00Z"}]
    assert seen == [ends[0]] * 2 + [ends[1]] * 2


def test_a_damaged_clock_is_set_anew(source: Path, landing: Path) -> None:
    landing.mkdir()
    (landing / "_clock.json").write_text("{half")
    replay(landing, Days.parse("2013-01-01"), source)
    assert clock(landing) == {"now": "2013-01-02T00:00:00Z"}


def test_progress_is_told_after_each_day(source: Path, landing: Path) -> None:
    told: list[tuple[date, int]] = []
    replay(landing, Days.parse("2013-01-01..2013-01-03"), source, progress=lambda day, lines: told.append((day, lines)))
    assert [day for day, _ in told] == list(Days.parse("2013-01-01..2013-01-03"))
    assert [lines for _, lines in told] == [2 + 2 + 3 + 2 + 13, 2 + 1 + 2 + 2, 2 + 2]


def test_a_folder_that_cannot_be_written_is_named(source: Path, landing: Path) -> None:
    landing.write_text("not a folder")
    with pytest.raises(FolderNotWritable, match=r"landing: cannot be written"):
        replay(landing, source=source)


def test_no_unfinished_file_is_left(source: Path, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full while a file is written: nothing under its name, and nothing under the hidden one."""

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(FolderNotWritable, match="No space left on device"):
        replay(landing, source=source)
    assert [file for file in landing.rglob("*") if file.is_file()] == []


class TestTheManifest:
    """It names every message that is not as an orderly replay would send it, and no other."""

    @pytest.fixture
    def disturbed(self, source: Path, landing: Path, lines: Lines) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        replay(landing, source=source, **DISORDER)
        received = lines(*sorted(landing.glob("departures/*/*")), *sorted(landing.glob("arrivals/*/*")))
        return received, lines(*sorted(landing.glob("_manifest/*")))

    def test_every_line_points_at_a_message(self, disturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
        received, manifest = disturbed
        places = {(line["topic"], line["partition"], line["offset"]): line for line in received}
        assert len(places) == len(received)
        assert manifest
        for entry in manifest:
            message = places[entry["topic"], entry["partition"], entry["offset"]]
            assert (message["key"], message["timestamp"]) == (entry["key"], entry["timestamp"])
            assert entry["feed"] == entry["topic"]
            assert entry["original_landed_on"] <= entry["timestamp"][:10]

    def test_without_what_it_names_the_undisturbed_messages_remain(
        self, disturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]], source: Path
    ) -> None:
        received, manifest = disturbed
        added = {
            (entry["topic"], entry["partition"], entry["offset"])
            for entry in manifest
            if entry["kind"] in ("duplicate", "malformed")
        }
        late = {(entry["topic"], entry["key"]) for entry in manifest if entry["kind"] == "late"}
        kept = [line for line in received if (line["topic"], line["partition"], line["offset"]) not in added]
        clean = list(messages(source=source))
        assert Counter((line["topic"], line["key"], line["value"]) for line in kept) == Counter(
            (message.topic, message.key, message.value) for message in clean
        )
        sent = {(message.topic, message.key): message.timestamp for message in clean}
        for line in kept:
            moved = datetime.fromisoformat(line["timestamp"]) != sent[line["topic"], line["key"]]
            assert moved == ((line["topic"], line["key"]) in late)

    def test_the_report_counts_its_lines(self, source: Path, landing: Path, lines: Lines) -> None:
        report = replay(landing, source=source, **DISORDER)
        assert report.injected == Counter(entry["kind"] for entry in lines(*landing.glob("_manifest/*")))

    def test_an_orderly_replay_has_none(self, source: Path, landing: Path) -> None:
        replay(landing, source=source, **DISORDER)
        replay(landing, Days.parse("2012-12-31..2013-01-05"), source)
        assert [file for file in (landing / "_manifest").iterdir() if file.name <= "landed_on=2013-01-05.jsonl"] == []


class TestMessages:
    """The sequence that a producer would send."""

    def test_they_are_those_of_the_archives_in_the_order_of_their_timestamps(self, source: Path, landing: Path) -> None:
        replay(landing, source=source, **DISORDER)
        sent = list(messages(source=source, **DISORDER))
        archived = [
            line
            for file in landing.glob("*s/*/*s.jsonl")
            for line in file.read_text().splitlines()
            if '"offset"' in line
        ]
        assert sorted(message.line for message in sent) == sorted(archived)
        assert [message.timestamp for message in sent] == sorted(message.timestamp for message in sent)

    @pytest.mark.parametrize("feed", ["departures", "arrivals"])
    def test_one_feed_alone(self, source: Path, feed: Any) -> None:
        assert list(messages(feed, source=source)) == [
            message for message in messages(source=source) if message.topic == feed
        ]

    def test_offsets_rise_with_the_timestamps_of_a_partition(self, source: Path) -> None:
        offsets: dict[tuple[str, int], list[int]] = {}
        for message in messages(source=source, **DISORDER):
            offsets.setdefault((message.topic, message.partition), []).append(message.offset)
        assert len(offsets) == 8
        for found in offsets.values():
            assert found == sorted(set(found))

    def test_some_days_only(self, source: Path) -> None:
        found = list(messages("departures", Days.parse("2013-01-03..2013-01-04"), source))
        assert [message.key for message in found] == [
            "2013-01-02|B6|707|JFK",
            "2013-01-03|AA|301|LGA",
            "2013-01-03|UA|9|EWR",
        ]

    def test_held_back_flights_send_none(self, source: Path) -> None:
        held = FlightKey(date(2013, 1, 3), "UA", 9, "EWR")
        found = list(messages(source=source, hold_back=lambda key: key == held))
        assert len(found) == 13
        assert str(held) not in {message.key for message in found}
