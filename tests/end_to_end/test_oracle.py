"""The whole of 2013, from messages alone, against the CSV files that the messages were made of.

The oracle computes every silver and gold table from the CSV by other means (see `oracle.py`); the lake has only what
landed. The same comparison is made for a month whose messages came late, twice and broken. It must give the same rows,
and in quarantine exactly what the manifest says was broken. `make test` compares a weekend (every_table/test_laws.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from airline.replay import replay
from lake.declare.days import Days
from lake.testing.lakes import open_lake, quarantined
from tests.airline_lakes import TABLES, cut_source, refresh_all
from tests.disturbed import COMPARED, TOPICS, Compared, compared_with_the_csv
from tests.end_to_end.oracle import PACKAGE_FLIGHTS

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.year, pytest.mark.timeout(1800)]

YEAR = Days.parse("2012-12-31..2014-01-13")
MONTH = Days.parse("2013-01-01..2013-01-31")
MONTH_LANDS = Days.parse("2012-12-31..2013-02-13")


def build_lake(
    root: Path, spark: SparkSession, days: Days, source: Path | None, **disorder: float
) -> Iterator[Compared]:
    store = open_lake(root, spark)
    replay(store.landing.root, source=source, **disorder)  # type: ignore[arg-type]  # a seed is a whole number
    receipts = {name: done for name, (done,) in refresh_all(store, [days]).items()}
    with compared_with_the_csv(store, receipts, source, root / "oracle.duckdb") as compared:
        yield compared


@pytest.fixture(scope="module")
def year(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """All of 2013, undisturbed, computed in one range run."""
    yield from build_lake(tmp_path_factory.mktemp("year"), spark, YEAR, None)


@pytest.fixture(scope="module")
def disturbed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """The first month of 2013, with messages late, doubled and broken."""
    root = tmp_path_factory.mktemp("disturbed")
    source = cut_source(root / "source", MONTH)
    disorder = {"late": 0.04, "duplicates": 0.03, "malformed": 0.01}
    yield from build_lake(root, spark, MONTH_LANDS, source, **disorder, seed=2013)


# Disturbed


@pytest.mark.parametrize("table", COMPARED)
def test_disturbed_days_give_the_undisturbed_rows(disturbed: Compared, table: str) -> None:
    assert disturbed.differences(table) == []


@pytest.mark.parametrize(("topic", "table"), TOPICS)
def test_broken_and_doubled_messages_are_told_as_the_manifest_tells_them(
    disturbed: Compared, topic: str, table: str
) -> None:
    disturbed.assert_quarantined(topic, table, at_least=200)
    disturbed.assert_doubled_counted(topic, table)


def test_messages_came_late_and_still_lie_in_the_days_of_their_events(disturbed: Compared) -> None:
    disturbed.assert_came_late(at_least=500)


def test_nothing_else_was_rejected(disturbed: Compared) -> None:
    rejecting = {name for name, receipt in disturbed.receipts.items() if receipt.total.rejected}

    assert rejecting == {"silver.departures", "silver.arrivals"}


# The year


@pytest.mark.parametrize("table", COMPARED)
def test_the_year_equals_the_oracle(year: Compared, table: str) -> None:
    assert year.differences(table) == []


def test_every_flight_of_the_csv_is_scheduled_flown_cancelled_or_diverted(year: Compared) -> None:
    assert year.number("SELECT count(*) FROM silver.schedules") == PACKAGE_FLIGHTS
    assert year.number("SELECT count(*) FROM silver.flights") == PACKAGE_FLIGHTS - 8_255
    assert year.number("SELECT sum(cancelled) FROM gold.daily_carrier_performance") == 8_255
    assert year.number("SELECT sum(diverted) FROM gold.daily_carrier_performance") == 1_175
    assert year.number("SELECT count(*) FROM silver.flights WHERE NOT has_arrived") == 1_175
    assert year.number("SELECT count(*) FROM silver.flights WHERE NOT is_aircraft_known") == year.number(
        "SELECT count(dep_delay) FROM oracle.main.flights_csv WHERE tailnum IS NULL "
        "OR tailnum NOT IN (SELECT tailnum FROM oracle.main.planes_csv)"
    )


AS_THE_CSV = """
    SELECT year(s.flight_date) AS year, month(s.flight_date) AS month, day(s.flight_date) AS day,
           clock(f.departed_at, 'America/New_York') AS dep_time,
           clock(s.scheduled_departure_at, 'America/New_York') AS sched_dep_time,
           f.departure_delay_minutes AS dep_delay,
           clock(f.arrived_at, zone.time_zone) AS arr_time,
           clock(s.scheduled_arrival_at, zone.time_zone) AS sched_arr_time,
           f.arrival_delay_minutes AS arr_delay, s.carrier, s.flight, s.tail_number AS tailnum, s.origin, s.dest,
           f.air_time_minutes AS air_time, s.distance_miles AS distance,
           date_trunc('hour', s.scheduled_departure_at) AS time_hour
    FROM silver.schedules AS s
    JOIN silver.airports AS zone ON zone.airport = s.dest
    LEFT JOIN silver.flights AS f USING (flight_date, carrier, flight, origin)
"""
THE_CSV = """
    SELECT year::INT, month::INT, day::INT, dep_time::INT % 2400, sched_dep_time::INT % 2400, dep_delay::INT,
           -- 717 diverted flights have a time here, but no delay: they reached a gate that they were not bound for.
           CASE WHEN arr_delay IS NOT NULL THEN arr_time::INT % 2400 END, sched_arr_time::INT % 2400, arr_delay::INT,
           carrier, flight::INT, tailnum, origin, dest, air_time::INT, distance::INT, time_hour::TIMESTAMPTZ
    FROM oracle.main.flights_csv
"""


def test_schedules_and_flights_reproduce_the_csv(year: Compared) -> None:
    """All 336,776 rows with all their columns, read back from the clocks at both ends."""
    year.rows(
        "CREATE OR REPLACE TEMP MACRO clock(moment, zone) AS "
        "(hour(timezone(zone, moment)) * 100 + minute(timezone(zone, moment)))::INT"
    )

    only_lake = year.rows(f"{AS_THE_CSV} EXCEPT ALL {THE_CSV}")
    only_csv = year.rows(f"{THE_CSV} EXCEPT ALL {AS_THE_CSV}")

    # One clock in the CSV shows 2:03 in the night of 10 March, which went from 1:59 to 3:00.
    assert [(row[0:3], row[6], row[9:11]) for row in only_csv] == [((2013, 3, 9), 203, ("B6", 35))]
    assert [(row[0:3], row[6], row[9:11]) for row in only_lake] == [((2013, 3, 9), 303, ("B6", 35))]


def test_a_clean_year_rejects_one_impossible_wind_and_nothing_else(year: Compared) -> None:
    rejected = {name: receipt.total.rejected for name, receipt in year.receipts.items() if receipt.total.rejected}

    assert rejected == {"silver.weather": 1}
    (row,) = quarantined(year.store, TABLES["silver.weather"])
    assert row["rules"] == ["wind_speed_mph:in_range"]
    assert json.loads(row["raw"])["wind_speed_mph"] > 1000


def test_a_clean_year_has_no_duplicates_but_reference_lines_and_rows_no_longer_current(year: Compared) -> None:
    doubled = {name for name, receipt in year.receipts.items() if receipt.total.duplicates}

    current = {"gold.aircraft_last_seen"}  # of each aircraft the newest row
    assert doubled == {"silver.aircraft", "silver.airports", "silver.carriers"} | current


def test_bronze_holds_every_line_that_landed(year: Compared) -> None:
    landed = {
        name: sum(
            len(file.read_text().splitlines())
            for file in (year.store.landing.root / table.reads[0].name).glob("landed_on=*/*.jsonl")
        )
        for name, table in TABLES.items()
        if table.layer == "bronze"
    }

    assert {name: year.number(f"SELECT count(*) FROM {name}") for name in landed} == landed
