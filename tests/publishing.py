"""A process that publishes, to be killed; and one that reads a destination over and over.

python -m tests.publishing publish FOLDER KIND
python -m tests.publishing read FOLDER KIND: until its input ends; prints what it saw wrong, then how often it looked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb

from lake.declare.destinations import Destination, DuckDb, ParquetFolders, Postgres

__all__ = ["KINDS", "read_over_and_over", "start_publishing"]

KINDS: dict[str, Destination] = {
    "duckdb": DuckDb("warehouse.duckdb"),
    "parquet": ParquetFolders("exports"),
    "postgres": Postgres("WAREHOUSE_DSN"),
}
ROWS = 400
"""Of each day, all with the same number in `big`."""
_ASKED = "SELECT day, count(*), min(big), max(big) FROM {} GROUP BY day ORDER BY day"


def start_publishing(folder: Path, kind: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start a process that publishes once."""
    return _start("publish", folder, kind, variables)


def read_over_and_over(folder: Path, kind: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start a process that reads until its input is closed."""
    return _start("read", folder, kind, variables)


def _start(what: str, folder: Path, kind: str, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.publishing", what, str(folder), kind]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**os.environ, **variables}, stdin=pipe, stdout=pipe, stderr=pipe)


def _publish(folder: Path, kind: str) -> None:
    from lake.serve.publish import publish
    from lake.serve.target import Place
    from tests.lakes import without_spark
    from tests.served import facts, sink_of, survey_of

    store = without_spark(folder / "lake")
    publish(sink_of(facts, KINDS[kind]), survey_of(store, facts), Place(folder / "home"))


Seen = list[tuple[object, int, int, int]]


def _look_into_duckdb(folder: Path) -> Seen:
    with duckdb.connect(str(folder / "home" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(_ASKED.format("board")).fetchall()


def _look_into_parquet(folder: Path) -> Seen:
    with duckdb.connect() as connection:
        return connection.execute(_ASKED.format(f"'{folder}/home/exports/board/**/*.parquet'")).fetchall()


def _look_into_postgres(_: Path) -> Seen:
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(os.environ["WAREHOUSE_DSN"]) as connection, connection.cursor() as cursor:
        cursor.execute(_ASKED.format("board"))
        return [tuple(one) for one in cursor.fetchall()]


LOOK: dict[str, Callable[[Path], Seen]] = {
    "duckdb": _look_into_duckdb,
    "parquet": _look_into_parquet,
    "postgres": _look_into_postgres,
}


def _read(folder: Path, kind: str) -> None:
    import select

    looks, versions = 0, set[int]()
    while not select.select([sys.stdin], [], [], 0)[0]:
        seen = LOOK[kind](folder)
        looks += 1
        numbers = {low for _, _, low, _ in seen}
        versions |= numbers
        halves = [one for one in seen if one[1] != ROWS or one[2] != one[3]]
        # Days that were published together are seen together, except where each is a file of its own.
        if halves or len(seen) != 2 or (len(numbers) != 1 and kind != "parquet"):
            print(seen, flush=True)
    print(looks, len(versions), flush=True)


if __name__ == "__main__":
    {"publish": _publish, "read": _read}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
    sys.stdout.flush()
    os._exit(0)
