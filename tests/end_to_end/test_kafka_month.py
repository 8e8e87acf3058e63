"""A month of real messages, late, doubled and broken, through a real Kafka: the tables equal the source's CSV files.

`make bench` sends the whole year. The comparison is part of what is called here: it raises where a table differs.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from benchmarks.errors import SidesDiffer
from benchmarks.streams.replayed import check_bronze, check_table, replay_through_kafka
from lake.declare.days import Days
from tests.airline_lakes import cut_source

MONTH = Days.parse("2013-01-01..2013-01-31")
LANDS = Days.parse("2012-12-31..2013-02-13")


@pytest.mark.streams
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_month_through_kafka_equals_the_source(tmp_path: Path) -> None:
    source = cut_source(tmp_path / "source", MONTH)
    home = tmp_path / "home"
    home.mkdir()

    done = replay_through_kafka(home, LANDS.start, source, print, str(LANDS))

    assert done.messages > 50_000
    assert done.rows > 100_000


def test_a_table_that_is_not_the_source_is_named() -> None:
    with duckdb.connect() as lake:
        lake.execute("CREATE SCHEMA silver; CREATE TABLE silver.t AS SELECT 1 AS a UNION ALL SELECT 1")
        lake.execute("ATTACH ':memory:' AS oracle; CREATE SCHEMA oracle.silver; CREATE TABLE oracle.silver.t (a INT)")
        lake.execute("INSERT INTO oracle.silver.t VALUES (1)")
        with pytest.raises(SidesDiffer, match=r"silver\.t"):
            check_table(lake, "silver.t", ["a"])
        lake.execute("INSERT INTO oracle.silver.t VALUES (1)")

        assert check_table(lake, "silver.t", ["a"]) == 2


def test_a_message_that_bronze_holds_twice_or_not_at_all_is_noticed() -> None:
    with duckdb.connect() as lake:
        lake.execute("CREATE SCHEMA bronze")
        for table in ("departure_events", "arrival_events"):
            lake.execute(f"CREATE TABLE bronze.{table} AS SELECT '{table}' AS topic, 0 AS partition, 1 AS \"offset\"")
        check_bronze(lake, 2)
        with pytest.raises(SidesDiffer, match="3 messages were sent"):
            check_bronze(lake, 3)
        lake.execute("INSERT INTO bronze.arrival_events VALUES ('arrival_events', 0, 1)")
        with pytest.raises(SidesDiffer):
            check_bronze(lake, 3)
