"""The laws that every table obeys, on the files in tests/landing: a few days of each feed, as they land.

A table that is added tomorrow is under them too. Put late, doubled and broken rows there: laws about nothing hold too.
"""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import lakehouse_assets
from lake.declare.table import Table, discover, is_followable
from lake.testing.laws import LAWS, ComputedTwice, Law, compute_twice, days_landed
from lake.testing.streamed import compute_as_streams, streams_give_the_rows_of_batch
from lake.write.store import DeltaStore

LANDING = Path(__file__).parent / "landing"
TABLES = discover(lakehouse_assets)
STREAMS = {name: table for name, table in TABLES.items() if is_followable(table) or table.early_every}


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> ComputedTwice:
    days = days_landed(LANDING)
    assert days is not None, "no feed has files in tests/landing/<feed>/landed_on=YYYY-MM-DD/"
    return compute_twice(spark, tmp_path_factory.mktemp("laws"), TABLES, LANDING, days)


@pytest.fixture(scope="module")
def streamed(lakes: ComputedTwice, tmp_path_factory: pytest.TempPathFactory) -> DeltaStore:
    return compute_as_streams(lakes, tmp_path_factory.mktemp("streams"))


@pytest.mark.parametrize("obeyed", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_table_obeys(lakes: ComputedTwice, obeyed: Law, table: Table) -> None:
    obeyed(lakes, table)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_the_laws_are_about_rows(lakes: ComputedTwice, table: Table) -> None:
    """Where it fails, tests/landing lacks files from which the table gets rows."""
    assert lakes.receipts[table.full_name].total.rows_out > 0


@pytest.mark.parametrize("table", STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_gives_the_rows_of_batch(lakes: ComputedTwice, streamed: DeltaStore, table: Table) -> None:
    streams_give_the_rows_of_batch(lakes, streamed, table)
