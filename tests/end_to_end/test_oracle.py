"""The whole of 2013, from messages alone, against the CSV files that the messages were made of.

The oracle computes every silver and gold table from the CSV by other means (see `oracle.py`); the lake has only what
landed. The same comparison is made for a week and a month whose messages came late, twice and broken. They must give
the same rows, and in quarantine exactly what the manifest says was broken. The week is part of `make test`, the month
and the year of `make test-year`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from airline.replay import replay
from lake.batch.refresh import Receipt
from lake.declare.days import Days
from lake.testing.lakes import open_lake, quarantined
from lake.write.store import DeltaStore
from tests.airline_lakes import TABLES, cut_source, duckdb_over, manifest, refresh_all
from tests.end_to_end.oracle import ORACLE_TABLES, PACKAGE_FLIGHTS, build_oracle

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(1800)]

of_the_year = pytest.mark.year
COMPARED = [name for name in TABLES if name in ORACLE_TABLES]
YEAR = Days.parse("2012-12-31..2014-01-13")
WEEK = Days.parse("2013-01-01..2013-01-07")
MONTH = Days.parse("2013-01-01..2013-01-31")
LANDS = {WEEK: Days.parse("2012-12-31..2013-01-20"), MONTH: Days.parse("2012-12-31..2013-02-13")}


@dataclass(frozen=True)
class Compared:
    """A lake and its oracle (the database `oracle`), on one DuckDB connection."""

    store: DeltaStore
    receipts: Mapping[str, Receipt]
    sql: duckdb.DuckDBPyConnection

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return self.sql.execute(query).fetchall()

    def number(self, query: str) -> object:
        [(value,)] = self.rows(query)
        return value

    def differences(self, table: str) -> list[tuple[object, ...]]:
        """A few rows that only the lake or only the oracle has."""
        names = ", ".join(TABLES[table].contract.stored_names)
        lake, oracle = f"SELECT {names} FROM {table}", f"SELECT {names} FROM oracle.{table}"
        return self.rows(
            f"(SELECT 'only in the lake', * FROM ({lake} EXCEPT ALL {oracle}) ORDER BY ALL LIMIT 3) UNION ALL "
            f"(SELECT 'only in the CSV', * FROM ({oracle} EXCEPT ALL {lake}) ORDER BY ALL LIMIT 3)"
        )


def build_lake(
    root: Path, spark: SparkSession, days: Days, source: Path | None, **disorder: float
) -> Iterator[Compared]:
    store = open_lake(root, spark)
    replay(store.landing.root, source=source, **disorder)  # type: ignore[arg-type]  # a seed is a whole number
    receipts = {name: done for name, (done,) in refresh_all(store, [days]).items()}
    with duckdb.connect(str(root / "oracle.duckdb")) as database:
        build_oracle(database, source)
    with duckdb_over(store) as connection:
        connection.execute(f"ATTACH '{root / 'oracle.duckdb'}' AS oracle (READ_ONLY)")
        yield Compared(store, receipts, connection)


@pytest.fixture(scope="module")
def year(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """All of 2013, undisturbed, computed in one range run."""
    yield from build_lake(tmp_path_factory.mktemp("year"), spark, YEAR, None)


@pytest.fixture(
    scope="module", params=[pytest.param(WEEK, id="week"), pytest.param(MONTH, id="month", marks=of_the_year)]
)
def disturbed(
    request: pytest.FixtureRequest, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compared]:
    """The first flights of 2013, with messages late, doubled and broken; a week has more of those."""
    days: Days = request.param
    root, often = tmp_path_factory.mktemp("disturbed"), 4 if days == WEEK else 1
    source = cut_source(root / "source", days)
    disorder = {"late": 0.04 * often, "duplicates": 0.03 * often, "malformed": 0.01 * often}
    yield from build_lake(root, spark, LANDS[days], source, **disorder, seed=2013)


# Disturbed


@pytest.mark.parametrize("table", COMPARED)
def test_disturbed_days_give_the_undisturbed_rows(disturbed: Compared, table: str) -> None:
    assert disturbed.differences(table) == []


@pytest.mark.parametrize(("topic", "table"), [("departures", "silver.departures"), ("arrivals", "silver.arrivals")])
def test_quarantine_holds_exactly_the_broken_messages(disturbed: Compared, topic: str, table: str) -> None:
    broken = {
        (entry["partition"], entry["offset"]): entry["detail"]
        for entry in manifest(disturbed.store, "malformed", topic)
    }
    rejected = quarantined(disturbed.store, TABLES[table])

    assert len(broken) > 200
    assert {(row["row"]["_partition"], row["row"]["_offset"]) for row in rejected} == set(broken)
    assert len(rejected) == len(broken) == disturbed.receipts[table].total.rejected


NAMED_BY: Mapping[str, set[str]] = {
    "bad_json": {"json_errors:equal_to"},
    "wrong_type": {"json_errors:equal_to"},
    "missing_key_field": {f"{field}:not_null" for field in ("flight_date", "carrier", "flight", "origin")},
    "future_timestamp": {"report_lag_seconds:in_range"},
    "impossible_airport": {"origin:str_matches", "dest:str_matches"},
}


@pytest.mark.parametrize(("topic", "table"), [("departures", "silver.departures"), ("arrivals", "silver.arrivals")])
def test_every_broken_message_is_told_why_it_was_refused(disturbed: Compared, topic: str, table: str) -> None:
    broken = {
        (entry["partition"], entry["offset"]): entry["detail"]
        for entry in manifest(disturbed.store, "malformed", topic)
    }
    kinds = Counter(broken.values())

    for row in quarantined(disturbed.store, TABLES[table]):
        kind = broken[row["row"]["_partition"], row["row"]["_offset"]]
        assert set(row["rules"]) & NAMED_BY[kind], (kind, row["rules"], row["raw"])
    assert set(kinds) == set(NAMED_BY)


@pytest.mark.parametrize(("topic", "table"), [("departures", "silver.departures"), ("arrivals", "silver.arrivals")])
def test_every_doubled_message_is_counted_as_a_duplicate(disturbed: Compared, topic: str, table: str) -> None:
    assert disturbed.receipts[table].total.duplicates == len(manifest(disturbed.store, "duplicate", topic))


def test_messages_came_late_and_still_lie_in_the_days_of_their_events(disturbed: Compared) -> None:
    late = manifest(disturbed.store, "late", "departures")
    days_late = disturbed.rows("SELECT DISTINCT landed_on - event_date FROM bronze.departure_events")

    assert len(late) > 500
    assert {row[0] for row in days_late} >= set(range(11))


def test_nothing_else_was_rejected(disturbed: Compared) -> None:
    rejecting = {name for name, receipt in disturbed.receipts.items() if receipt.total.rejected}

    assert rejecting == {"silver.departures", "silver.arrivals"}


# The year: `make test-year`


@of_the_year
@pytest.mark.parametrize("table", COMPARED)
def test_the_year_equals_the_oracle(year: Compared, table: str) -> None:
    assert year.differences(table) == []


@of_the_year
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


@of_the_year
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


@of_the_year
def test_a_clean_year_rejects_one_impossible_wind_and_nothing_else(year: Compared) -> None:
    rejected = {name: receipt.total.rejected for name, receipt in year.receipts.items() if receipt.total.rejected}

    assert rejected == {"silver.weather": 1}
    (row,) = quarantined(year.store, TABLES["silver.weather"])
    assert row["rules"] == ["wind_speed_mph:in_range"]
    assert json.loads(row["raw"])["wind_speed_mph"] > 1000


@of_the_year
def test_a_clean_year_has_no_duplicates_but_repeated_reference_lines(year: Compared) -> None:
    doubled = {name for name, receipt in year.receipts.items() if receipt.total.duplicates}

    assert doubled == {"silver.aircraft", "silver.airports", "silver.carriers"}


@of_the_year
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


# The control


def test_a_lake_that_lost_one_flight_would_be_seen(disturbed: Compared) -> None:
    """Every row that the oracle has twice or not at all shows up, so an equal count of differing rows cannot hide."""
    names = ", ".join(TABLES["silver.flights"].contract.stored_names)
    lost = disturbed.rows(
        f"SELECT {names} FROM oracle.silver.flights EXCEPT ALL "
        f"(SELECT {names} FROM silver.flights ORDER BY ALL LIMIT (SELECT count(*) - 1 FROM silver.flights))"
    )

    assert len(lost) == 1
