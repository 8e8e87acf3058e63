"""Time micro-batches of a join that keeps 100,000 departures in state.

It is the join of `silver.flights`.

The inputs are filled first; then departures and arrivals are added in turn, a commit each, and each micro-batch that
reads one is timed by Spark's own report. `ours` is the query of `follow`; `plain` the same join appended to a Delta
table with Spark's default settings; `tuned` likewise with the settings of this project.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks.errors import SidesDiffer
from benchmarks.streams import query
from benchmarks.streams.plain import default_session
from lake.declare.days import parse_day
from lake.declare.table import Table
from lake.engine.session import build_session
from lake.storage.landing import Landing
from lake.write.store import DeltaStore
from lakehouse_assets.silver.aircraft import aircraft
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.weather import weather

__all__ = ["REPORT"]

REPORT = "state.json"
DAY = parse_day("2013-06-01")
INPUTS = (departures, arrivals, weather, aircraft, airports)
WARM_UP = 6

WHO = (
    f"DATE'{DAY}' AS flight_date", "concat('A', chr(65 + id DIV 9999)) AS carrier",
    "CAST(1 + id % 9999 AS INT) AS flight", "'EWR' AS origin", "'ORD' AS dest", "CAST(NULL AS STRING) AS tail_number",
)  # fmt: skip
LEFT = f"TIMESTAMP'{DAY} 08:00:00' + make_dt_interval(0, 0, 0, id / 50)"
DEPARTED = (f"{LEFT} AS scheduled_departure_at", f"{LEFT} AS departed_at", f"DATE'{DAY}' AS departed_on")
ARRIVED = (
    f"{LEFT} + INTERVAL 2 HOURS AS scheduled_arrival_at",
    f"{LEFT} + INTERVAL 2 HOURS AS arrived_at",
    f"DATE'{DAY}' AS arrived_on",
)  # fmt: skip


class Inputs:
    """The tables that the join reads, and how rows come into them."""

    def __init__(self, store: DeltaStore) -> None:
        self.store = store
        for table in INPUTS:
            store.create(table)

    def depart(self, first: int, count: int) -> None:
        """Add departures from `first` on, each of another flight."""
        self._add(departures, self._ids(first, count).selectExpr(*WHO, *DEPARTED, "0 AS delay_minutes"))

    def arrive(self, first: int, count: int) -> None:
        """Arrivals of the same flights."""
        made = self._ids(first, count).selectExpr(*WHO, *ARRIVED, "0 AS delay_minutes", "100 AS air_time_minutes")
        self._add(arrivals, made)

    def _ids(self, first: int, count: int) -> DataFrame:
        return self.store.spark.range(first, first + count, 1, 1)

    def _add(self, table: Table, rows: DataFrame) -> None:
        with self.store.lock(table.full_name):
            rows.write.format("delta").mode("append").save(self.store.path(table))


def followed(store: DeltaStore, home: Path) -> AbstractContextManager[StreamingQuery]:
    """Side `ours`."""
    static = (store.read_current(table, DAY) for table in (weather, aircraft, airports))
    rows = flights(_watermarked(departures, store), _watermarked(arrivals, store), *static)
    return query.followed(flights, rows, store, home, since=DAY)


def _watermarked(table: Table, store: DeltaStore) -> DataFrame:
    return store.read_stream(table, DAY).withWatermark(str(table.event_time), _lateness(table))


def _lateness(table: Table) -> str:
    return f"{int((table.lateness or timedelta()).total_seconds())} seconds"


@contextmanager
def scripted(store: DeltaStore, home: Path) -> Iterator[StreamingQuery]:
    """Sides `plain` and `tuned`."""
    spark = store.spark

    def stream(table: Table) -> DataFrame:
        rows = spark.readStream.format("delta").load(store.path(table))
        return rows.withWatermark(str(table.event_time), _lateness(table))

    static = (spark.read.format("delta").load(store.path(table)) for table in (weather, aircraft, airports))
    joined = flights(stream(departures), stream(arrivals), *static).select(*flights.contract.stored_names)
    writer = joined.writeStream.format("delta").partitionBy("flight_date")
    running = writer.option("checkpointLocation", str(home / "checkpoints")).start(store.path(flights))
    try:
        yield running
    finally:
        running.stop()


def measure(side: str, home: Path, keys: int, rows: int, batches: int) -> dict[str, Any]:
    """Return the seconds of one side's micro-batches and its rows in state.

    The rows are those at the end.
    """
    session = (lambda: build_session(app_name="state")) if side == "ours" else (lambda: default_session(("delta",)))
    store = DeltaStore(str(home / "tables"), Landing(home / "landing"), home / "locks", session)
    inputs = Inputs(store)
    inputs.depart(0, keys)
    inputs.arrive(0, rows)
    with (followed if side == "ours" else scripted)(store, home) as running:
        running.processAllAvailable()
        seconds = [_step(inputs, running, keys, rows, number) for number in range(batches + WARM_UP)]
        state = sum(operator["numRowsTotal"] for operator in query.progress(running)[-1]["stateOperators"])
    expected, found = rows * (1 + (batches + WARM_UP) // 2), _arrived(store)
    if found != expected:
        raise SidesDiffer(flights.full_name, f"{side} and its inputs", f"{found:,} arrivals, not {expected:,}")
    return {"seconds": seconds[WARM_UP:], "state_rows": state}


def _step(inputs: Inputs, running: StreamingQuery, keys: int, rows: int, number: int) -> float:
    """Add rows and return the seconds of the micro-batch that reads them.

    They are departures or, every second time, arrivals.
    """
    first = (number // 2 + 1) * rows
    add = (lambda: inputs.arrive(first, rows)) if number % 2 else (lambda: inputs.depart(keys + first, rows))
    return query.read_by_query(running, add)


def _arrived(store: DeltaStore) -> int:
    """Count the flights with an arrival, each key once."""
    if store.version(flights) is None:
        return 0
    return store.read(flights).where("has_arrived").select(*flights.key).distinct().count()


def main(side: str, home: str, keys: str, rows: str, batches: str) -> None:
    """Measure a side in its own process."""
    os.environ["LAKEHOUSE_HOME"] = home
    found = measure(side, Path(home), int(keys), int(rows), int(batches))
    (Path(home) / REPORT).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
