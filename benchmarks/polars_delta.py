"""Run side `polars`: native Polars and delta-rs, in one process.

It writes the same tables from memory. Frames are handed on in memory instead of being read back from the tables just
written, as one would with Polars.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.side import Stopwatch, run_side
from benchmarks.tables import PARTITIONED_BY
from lakehouse_assets.airports_supplement import AIRPORTS_SUPPLEMENT

UTC_TIME = pl.Datetime("us", "UTC")
KEY = ["flight_date", "carrier", "flight", "origin"]
FLIGHT = {
    "flight_date": pl.String,
    "carrier": pl.String,
    "flight": pl.Int32,
    "origin": pl.String,
    "dest": pl.String,
    "tail_number": pl.String,
}
DEPARTURE = FLIGHT | {"scheduled_departure_at": pl.String, "departed_at": pl.String}
ARRIVAL = FLIGHT | {"scheduled_arrival_at": pl.String, "arrived_at": pl.String, "air_time_minutes": pl.Int32}
SCHEDULE = FLIGHT | {
    "scheduled_departure_at": pl.String,
    "scheduled_arrival_at": pl.String,
    "distance_miles": pl.Int32,
}
WEATHER = {
    "airport": pl.String,
    "observed_at": pl.String,
    "temperature_f": pl.Float64,
    "dew_point_f": pl.Float64,
    "humidity_percent": pl.Float64,
    "wind_direction_degrees": pl.Int32,
    "wind_speed_mph": pl.Float64,
    "wind_gust_mph": pl.Float64,
    "precipitation_inches": pl.Float64,
    "pressure_millibars": pl.Float64,
    "visibility_miles": pl.Float64,
}
AIRCRAFT = {
    "tail_number": pl.String,
    "year_built": pl.Int32,
    "type": pl.String,
    "manufacturer": pl.String,
    "model": pl.String,
    "engines": pl.Int32,
    "seats": pl.Int32,
    "speed_mph": pl.Int32,
    "engine": pl.String,
}
CARRIER = {"carrier": pl.String, "name": pl.String}
AIRPORT = {
    "airport": pl.String,
    "name": pl.String,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "altitude_feet": pl.Int32,
    "utc_offset_hours": pl.Float64,
    "dst": pl.String,
    "time_zone": pl.String,
}
ENVELOPE = {
    "key": pl.String,
    "value": pl.String,
    "topic": pl.String,
    "partition": pl.Int32,
    "offset": pl.Int64,
    "timestamp": pl.String,
    "headers": pl.String,
}
STRONGEST_WIND_MPH = 255
MEASURED = ["temperature_f", "wind_speed_mph", "visibility_miles", "precipitation_inches"]
RECENT = timedelta(hours=3)
ON_TIME_BELOW_MINUTES, LATE_FROM_MINUTES = 15, 15
ALERT_FROM_MINUTES, ALERT_AT_LEAST = 30, 5

Fields = Mapping[str, type[pl.DataType]]


def messages(folder: Path, event_field: str) -> pl.DataFrame:
    """Return a topic's archive with the days of landing and of the event."""
    files = sorted(folder.glob("landed_on=*/*.jsonl"))
    rows = pl.scan_ndjson(files, schema=ENVELOPE, include_file_paths="path").with_columns(
        utc("timestamp"), landed_on("path"), day_said("value", event_field)
    )
    return rows.drop("path").collect()


def lines(folder: Path, event_date: pl.Expr) -> pl.DataFrame:
    """Lines of files with their numbers."""
    read = [
        (text, str(file), number, written_at)
        for file in sorted(folder.glob("landed_on=*/*.jsonl"))
        for written_at in [file.stat().st_mtime_ns // 1_000_000]
        for number, text in enumerate(file.read_text().splitlines(), 1)
        if text
    ]
    columns = {"line": pl.String, "path": pl.String, "line_number": pl.Int32, "written_at": pl.Int64}
    rows = pl.DataFrame(read, columns, orient="row")
    written_at = (pl.col("written_at") * 1000).cast(pl.Datetime("us", "UTC")).alias("landed_at")
    name = pl.col("path").str.split("/").list.last().alias("file")
    known = rows.select("line", name, "line_number", landed_on("path"), written_at)
    return known.with_columns(event_date.alias("event_date"))


def landed_on(path: str) -> pl.Expr:
    return pl.col(path).str.extract(r"landed_on=(\d{4}-\d{2}-\d{2})").str.to_date("%Y-%m-%d").alias("landed_on")


def day_said(text: str, field: str) -> pl.Expr:
    said = pl.col(text).str.extract(rf'"{field}":"(\d{{4}}-\d{{2}}-\d{{2}})')
    return said.str.to_date("%Y-%m-%d").alias("event_date")


def utc(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC")


def day(column: str) -> pl.Expr:
    return pl.col(column).dt.date()


def minutes_between(start: str | pl.Expr, end: str | pl.Expr) -> pl.Expr:
    begin = pl.col(start) if isinstance(start, str) else start
    stop = pl.col(end) if isinstance(end, str) else end
    return ((stop - begin).dt.total_seconds() // 60).cast(pl.Int32)


def parsed(rows: pl.DataFrame, text: str, fields: Fields) -> pl.DataFrame:
    """Return the fields of a JSON text, times and dates as such."""
    said = rows.select(pl.col(text).str.json_decode(pl.Struct(fields)).alias("said")).unnest("said")
    times = [utc(name) for name in fields if name.endswith("_at")]
    dates = [pl.col(name).str.to_date("%Y-%m-%d") for name in fields if name.endswith("_date")]
    return said.with_columns(*times, *dates)


def newest_per_key(rows: pl.DataFrame, key: str, fields: Fields) -> pl.DataFrame:
    """Return the line that landed last of each key."""
    newest = rows.sort("landed_on", "file", "line_number", descending=[True, False, False])
    return parsed(newest, "line", fields).unique(key, keep="first", maintain_order=True)


def parse_departures(events: pl.DataFrame) -> pl.DataFrame:
    return parsed(events, "value", DEPARTURE).with_columns(
        day("departed_at").alias("departed_on"),
        minutes_between("scheduled_departure_at", "departed_at").alias("delay_minutes"),
    )


def parse_arrivals(events: pl.DataFrame) -> pl.DataFrame:
    return parsed(events, "value", ARRIVAL).select(
        pl.exclude("air_time_minutes"),
        day("arrived_at").alias("arrived_on"),
        minutes_between("scheduled_arrival_at", "arrived_at").alias("delay_minutes"),
        "air_time_minutes",
    )


def parse_weather(rows: pl.DataFrame) -> pl.DataFrame:
    said = parsed(rows, "line", WEATHER).filter((pl.col("wind_speed_mph") <= STRONGEST_WIND_MPH).fill_null(True))
    return said.select("airport", "observed_at", day("observed_at").alias("observed_on"), *list(WEATHER)[2:])


def parse_airports(rows: pl.DataFrame) -> pl.DataFrame:
    listed = newest_per_key(rows, "airport", AIRPORT).with_columns(pl.lit(False).alias("is_supplement"))
    supplied = pl.DataFrame({"line": [json.dumps(row._asdict()) for row in AIRPORTS_SUPPLEMENT]})
    added = parsed(supplied, "line", AIRPORT).join(listed, on="airport", how="anti")
    return pl.concat([listed, added.with_columns(pl.lit(True).alias("is_supplement"))])


def join_flights(
    departures: pl.DataFrame,
    arrivals: pl.DataFrame,
    weather: pl.DataFrame,
    aircraft: pl.DataFrame,
    airports: pl.DataFrame,
) -> pl.DataFrame:
    arrived = arrivals.select(
        *KEY,
        "scheduled_arrival_at",
        "arrived_at",
        pl.col("delay_minutes").alias("arrival_delay_minutes"),
        "air_time_minutes",
        pl.lit(True).alias("has_arrived"),
    )
    elapsed = pl.col("arrived_at") - pl.col("departed_at")
    is_in_time = elapsed.is_between(timedelta(0), timedelta(hours=24))
    matched = departures.select(*KEY, "departed_at").join(arrived, on=KEY).filter(is_in_time).drop("departed_at")
    observed = weather.select(
        pl.col("airport").alias("origin"),
        pl.col("observed_at").alias("scheduled_hour"),
        *MEASURED,
        pl.lit(True).alias("is_weather_known"),
    )
    built = aircraft.select(
        "tail_number",
        pl.col("model").alias("aircraft_model"),
        pl.col("seats").alias("aircraft_seats"),
        pl.col("year_built").alias("aircraft_year_built"),
        pl.lit(True).alias("is_aircraft_known"),
    )
    known = airports.select(pl.col("airport").alias("dest"), pl.lit(True).alias("is_destination_known"))
    flags = ["has_arrived", "is_weather_known", "is_aircraft_known", "is_destination_known"]
    return (
        departures.with_columns(pl.col("scheduled_departure_at").dt.truncate("1h").alias("scheduled_hour"))
        .join(matched, on=KEY, how="left")
        .join(observed, on=["origin", "scheduled_hour"], how="left")
        .join(built, on="tail_number", how="left")
        .join(known, on="dest", how="left")
        .with_columns(pl.col(flag).fill_null(False) for flag in flags)
        .select(
            *KEY,
            "dest",
            "tail_number",
            "scheduled_departure_at",
            "departed_at",
            "departed_on",
            pl.col("delay_minutes").alias("departure_delay_minutes"),
            "scheduled_arrival_at",
            "arrived_at",
            "arrival_delay_minutes",
            "air_time_minutes",
            "has_arrived",
            *MEASURED,
            "is_weather_known",
            "aircraft_model",
            "aircraft_seats",
            "aircraft_year_built",
            "is_aircraft_known",
            "is_destination_known",
        )
    )


def hourly_performance(departures: pl.DataFrame, arrivals: pl.DataFrame) -> pl.DataFrame:
    left = departures.select(
        pl.col("origin").alias("airport"),
        pl.col("departed_at").alias("at"),
        pl.col("delay_minutes").cast(pl.Int64),
        pl.lit(True).alias("left"),
    )
    reached = arrivals.select(
        pl.col("dest").alias("airport"),
        pl.col("arrived_at").alias("at"),
        pl.col("delay_minutes").cast(pl.Int64),
        pl.lit(False).alias("left"),
    )
    has_left, delay = pl.col("left"), pl.col("delay_minutes")
    is_on_time = delay < ON_TIME_BELOW_MINUTES
    hours = pl.concat([left, reached]).group_by("airport", pl.col("at").dt.truncate("1h").alias("hour_at"))
    return hours.agg(
        has_left.sum().cast(pl.Int64).alias("departures"),
        (has_left & is_on_time).sum().cast(pl.Int64).alias("departures_on_time"),
        delay.filter(has_left).sum().alias("departure_delay_minutes"),
        (~has_left).sum().cast(pl.Int64).alias("arrivals"),
        (~has_left & is_on_time).sum().cast(pl.Int64).alias("arrivals_on_time"),
        delay.filter(~has_left).sum().alias("arrival_delay_minutes"),
        delay.max().cast(pl.Int32).alias("worst_delay_minutes"),
    ).select("airport", "hour_at", day("hour_at").alias("hour_on"), pl.exclude("airport", "hour_at"))


def alerts(departures: pl.DataFrame) -> pl.DataFrame:
    late = departures.filter(pl.col("delay_minutes") >= ALERT_FROM_MINUTES)
    hours = late.group_by(
        pl.col("origin").alias("airport"), pl.col("departed_at").dt.truncate("1h").alias("hour_at")
    ).len()
    return hours.filter(pl.col("len") >= ALERT_AT_LEAST).select(
        pl.lit("late_departures").alias("rule"),
        "airport",
        "hour_at",
        day("hour_at").alias("hour_on"),
        pl.lit(ALERT_FROM_MINUTES, pl.Int32).alias("late_from_minutes"),
        pl.lit(ALERT_AT_LEAST, pl.Int32).alias("at_least"),
    )


def daily_performance(schedules: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    planned = schedules.select(*KEY, pl.lit(True).alias("is_planned"))
    flown = flights.select(
        *KEY, pl.lit(True).alias("has_flown"), "has_arrived", "departure_delay_minutes", "arrival_delay_minutes"
    )
    both = planned.join(flown, on=KEY, how="full", coalesce=True)
    is_planned, has_flown = pl.col("is_planned").fill_null(False), pl.col("has_flown").fill_null(False)
    is_on_time = (pl.col("arrival_delay_minutes") < ON_TIME_BELOW_MINUTES).fill_null(False)
    counts = {
        "scheduled": is_planned,
        "flown": has_flown,
        "cancelled": is_planned & ~has_flown,
        "diverted": has_flown & ~pl.col("has_arrived").fill_null(True),
        "arrivals_on_time": is_on_time,
    }
    return both.group_by("flight_date", "carrier", "origin").agg(
        *(condition.sum().cast(pl.Int64).alias(name) for name, condition in counts.items()),
        pl.col("departure_delay_minutes").cast(pl.Int64).sum(),
        pl.col("arrival_delay_minutes").cast(pl.Int64).sum(),
    )


def delay_features(
    schedules: pl.DataFrame,
    flights: pl.DataFrame,
    departures: pl.DataFrame,
    weather: pl.DataFrame,
    airports: pl.DataFrame,
) -> pl.DataFrame:
    cutoff = (pl.col("scheduled_departure_at") - timedelta(hours=2)).alias("cutoff_at")
    asked = with_previous_leg(schedules.with_columns(cutoff), flights)
    asked = with_recent_weather(with_recent_departures(asked, departures), weather)
    weekday = pl.col("flight_date").dt.weekday().cast(pl.Int32)
    return asked.select(
        *KEY,
        "dest",
        "tail_number",
        "distance_miles",
        "scheduled_departure_at",
        "cutoff_at",
        pl.col("flight_date").dt.month().cast(pl.Int32).alias("month"),
        weekday.alias("day_of_week"),
        (weekday >= 6).alias("is_weekend"),
        local_hour(schedules, airports).alias("scheduled_local_hour"),
        *previous_leg_columns(),
        "origin_departures",
        "origin_departures_late",
        "origin_departure_delay_minutes",
        "weather_observed_at",
        *MEASURED,
        pl.col("weather_observed_at").is_not_null().alias("is_weather_known"),
    )


def local_hour(schedules: pl.DataFrame, airports: pl.DataFrame) -> pl.Expr:
    """Return the hour of scheduled departure in the zone of the origin.

    One conversion for each of the few zones.
    """
    origins = schedules.select(pl.col("origin").unique())
    zones = airports.join(origins, left_on="airport", right_on="origin").select("airport", "time_zone").drop_nulls()
    hour: pl.Expr = pl.lit(None, pl.Int32)
    for zone, named in zones.group_by("time_zone"):
        there = pl.col("scheduled_departure_at").dt.convert_time_zone(str(zone[0])).dt.hour().cast(pl.Int32)
        hour = pl.when(pl.col("origin").is_in(named["airport"].to_list())).then(there).otherwise(hour)
    return hour


def with_previous_leg(asked: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """Add the tail's previous leg of the timetable, and its outcome.

    The leg is at most 24 hours before.
    """
    order = ["flight_date", "scheduled_departure_at", *KEY[1:]]
    leg = ["leg_flight_date", "leg_carrier", "leg_flight", "leg_origin"]
    shifted = [pl.col(name).shift(1).over("tail_number").alias(f"leg_{name}") for name in [*KEY, order[1]]]
    legs = asked.sort("tail_number", *order).with_columns(*shifted)
    gap = pl.col("scheduled_departure_at") - pl.col("leg_scheduled_departure_at")
    is_leg = (pl.col("tail_number").is_not_null() & gap.is_between(timedelta(0), timedelta(hours=24))).fill_null(False)
    legs = legs.with_columns(is_leg.alias("has_previous_leg"))
    outcome = flights.select(
        *(pl.col(name).alias(f"leg_{name}") for name in KEY),
        pl.lit(True).alias("has_previous_leg"),
        pl.col("departed_at").alias("leg_departed_at"),
        pl.col("departure_delay_minutes").alias("leg_delay"),
        pl.col("arrived_at").alias("leg_arrived_at"),
        pl.col("arrival_delay_minutes").alias("leg_arrival_delay"),
    )
    return legs.join(outcome, on=[*leg, "has_previous_leg"], how="left")


def previous_leg_columns() -> Sequence[pl.Expr]:
    has_leg = pl.col("has_previous_leg")
    has_departed = (pl.col("leg_departed_at") <= pl.col("cutoff_at")).fill_null(False)
    has_arrived = (pl.col("leg_arrived_at") <= pl.col("cutoff_at")).fill_null(False)
    overdue = pl.max_horizontal(minutes_between("leg_scheduled_departure_at", "cutoff_at"), pl.lit(0, pl.Int32))
    delay = pl.when(has_departed).then(pl.col("leg_delay")).otherwise(overdue)
    gap = minutes_between("leg_scheduled_departure_at", "scheduled_departure_at")
    return [
        has_leg,
        pl.when(has_leg).then(gap).alias("minutes_since_previous_leg"),
        pl.when(has_leg).then(has_departed).alias("previous_leg_has_departed"),
        pl.when(has_leg).then(has_arrived).alias("previous_leg_has_arrived"),
        pl.when(has_leg).then(delay).alias("previous_leg_delay_minutes"),
        pl.when(has_arrived).then(pl.col("leg_arrival_delay")).alias("previous_leg_arrival_delay_minutes"),
    ]


def with_recent_departures(asked: pl.DataFrame, departures: pl.DataFrame) -> pl.DataFrame:
    """Add the origin's departures of the three hours up to the cutoff.

    They are running totals then, minus those before.
    """
    delay = pl.col("delay_minutes").cast(pl.Int64)
    totals = {
        "origin_departures": delay.cum_count().cast(pl.Int64),
        "origin_departures_late": (delay >= LATE_FROM_MINUTES).cast(pl.Int64).cum_sum(),
        "origin_departure_delay_minutes": delay.cum_sum(),
    }
    running = departures.sort("departed_at").select(
        "origin", "departed_at", *(total.over("origin").alias(name) for name, total in totals.items())
    )
    # The last row of equal moments holds the total.
    running = running.unique(["origin", "departed_at"], keep="last", maintain_order=True)
    just_before = (pl.col("cutoff_at") - RECENT - timedelta(microseconds=1)).alias("window_start")
    found = asked.with_columns(just_before).sort("cutoff_at")
    found = found.join_asof(running, left_on="cutoff_at", right_on="departed_at", by="origin", check_sortedness=False)
    found = found.join_asof(
        running,
        left_on="window_start",
        right_on="departed_at",
        by="origin",
        suffix="_before",
        check_sortedness=False,
    )
    return found.with_columns(
        (pl.col(name).fill_null(0) - pl.col(f"{name}_before").fill_null(0)).alias(name) for name in totals
    )


def with_recent_weather(asked: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    observed = weather.select(
        pl.col("airport").alias("origin"), pl.col("observed_at").alias("weather_observed_at"), *MEASURED
    ).sort("weather_observed_at")
    return asked.sort("cutoff_at").join_asof(
        observed,
        left_on="cutoff_at",
        right_on="weather_observed_at",
        by="origin",
        tolerance=RECENT,
        coalesce=False,
        check_sortedness=False,
    )


class Output:
    """Writes frames as Delta tables."""

    def __init__(self, tables: Path, watch: Stopwatch) -> None:
        self.tables, self.watch = tables, watch

    def write(self, table: str, rows: pl.DataFrame) -> pl.DataFrame:
        columns = PARTITIONED_BY[table]
        # delta-rs writes a file per partition and batch, so a partition must not be spread over batches.
        ordered = rows.sort(columns[0], maintain_order=True) if columns else rows
        path = self.tables / table.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_deltalake(str(path), as_arrow(ordered), partition_by=list(columns) or None, mode="overwrite")
        return rows


def as_arrow(rows: pl.DataFrame) -> pa.Table:
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def compute(home: Path, watch: Stopwatch) -> None:
    landing, output = home / "landing", Output(home / "tables", watch)
    bronze = write_bronze(landing, output)
    silver = write_silver(bronze, output)
    write_joined(silver, output)


def write_bronze(landing: Path, output: Output) -> dict[str, pl.DataFrame]:
    frames: dict[str, pl.DataFrame] = {}
    for topic, table, event in (
        ("departures", "bronze.departure_events", "departed_at"),
        ("arrivals", "bronze.arrival_events", "arrived_at"),
    ):
        with output.watch.table(table):
            frames[topic] = output.write(table, messages(landing / topic, event))
    for feed, table, event_date in (
        ("schedules", "bronze.schedule_files", day_said("line", "flight_date")),
        ("weather", "bronze.weather_files", day_said("line", "observed_at")),
        ("planes", "bronze.reference_planes", pl.col("landed_on")),
        ("airlines", "bronze.reference_airlines", pl.col("landed_on")),
        ("airports", "bronze.reference_airports", pl.col("landed_on")),
    ):
        with output.watch.table(table):
            frames[feed] = output.write(table, lines(landing / feed, event_date))
    return frames


def write_silver(bronze: dict[str, pl.DataFrame], output: Output) -> dict[str, pl.DataFrame]:
    builders: dict[str, Callable[[], pl.DataFrame]] = {
        "departures": lambda: parse_departures(bronze["departures"]),
        "arrivals": lambda: parse_arrivals(bronze["arrivals"]),
        "schedules": lambda: parsed(bronze["schedules"], "line", SCHEDULE),
        "weather": lambda: parse_weather(bronze["weather"]),
        "aircraft": lambda: newest_per_key(bronze["planes"], "tail_number", AIRCRAFT),
        "carriers": lambda: newest_per_key(bronze["airlines"], "carrier", CARRIER),
        "airports": lambda: parse_airports(bronze["airports"]),
    }
    frames: dict[str, pl.DataFrame] = {}
    for name, build in builders.items():
        with output.watch.table(f"silver.{name}"):
            frames[name] = output.write(f"silver.{name}", build())
    return frames


def write_joined(silver: dict[str, pl.DataFrame], output: Output) -> None:
    departures, arrivals, weather = silver["departures"], silver["arrivals"], silver["weather"]
    schedules, aircraft, airports = silver["schedules"], silver["aircraft"], silver["airports"]
    with output.watch.table("silver.flights"):
        flights = output.write("silver.flights", join_flights(departures, arrivals, weather, aircraft, airports))
    with output.watch.table("gold.hourly_airport_performance"):
        output.write("gold.hourly_airport_performance", hourly_performance(departures, arrivals))
    with output.watch.table("gold.delay_alerts"):
        output.write("gold.delay_alerts", alerts(departures))
    with output.watch.table("gold.daily_carrier_performance"):
        output.write("gold.daily_carrier_performance", daily_performance(schedules, flights))
    with output.watch.table("gold.flight_delay_features"):
        features = delay_features(schedules, flights, departures, weather, airports)
        output.write("gold.flight_delay_features", features)


if __name__ == "__main__":
    run_side(compute)
