"""Tables and landing on S3 hold what they hold in a folder: in batch, as streams, after maintenance, read by SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from lake.batch.maintain import Maintenance, maintain
from lake.commands.kafka_broker import LocalBroker
from lake.commands.query import confine, connect
from lake.declare.days import Days
from lake.declare.delta_feed import DeltaFeed
from lake.declare.table import Table
from lake.ownership.frontier import FrontierTable
from lake.project.opening import open_checkpoints
from lake.project.settings import Settings
from lake.storage.store_path import StorePath
from lake.testing.lakes import interpreted, open_lake, refresh_all
from lake.testing.laws import LAWS, ComputedTwice, Law, compute_twice
from lake.write.store import DeltaStore, Txn
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from tests import tiny
from tests.kafka import Kafka
from tests.s3.conftest import Opened
from tests.s3.server import BUCKET, Server, rows_of_log
from tests.streaming import FOLLOWED, Lake, Message, Messages, at

TINY = {table.full_name: table for table in (tiny.mark_files, tiny.marks, tiny.totals)}
DAYS = Days.parse("2013-01-01..2013-01-03")
D1, D2, D3 = DAYS
STREAMED = [*FOLLOWED[:4], hourly_airport_performance]
PLACES: tuple[Callable[[DeltaStore, Table], str], ...] = (DeltaStore.path, DeltaStore.quarantine_path)


def held(s3: Server, store: DeltaStore, path: str) -> list[str]:
    """The rows at a path, on S3 or in a folder."""
    if store.is_shared:
        return rows_of_log(s3.reader(path.removeprefix(f"s3://{BUCKET}/")))
    return rows_of_log(lambda name: file.read_bytes() if (file := Path(path, name)).is_file() else None)


def assert_same(s3: Server, far: DeltaStore, near: DeltaStore, tables: Iterable[Table]) -> int:
    """Compare tables and quarantines of two lakes; how many rows there are."""
    rows = 0
    for place in [place(near, table) for table in tables for place in PLACES]:
        expected = held(s3, near, place)
        assert held(s3, far, far.tables + place.removeprefix(near.tables)) == expected, place
        rows += len(expected)
    return rows


@pytest.fixture(scope="module")
def landed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DeltaStore:
    """A folder with three days of late, doubled and broken lines."""
    landed = open_lake(tmp_path_factory.mktemp("landed"), spark)
    tiny.land(landed, D1, "one.jsonl", [("a", D1, 1), ("b", D1, 2), ("a", D1, 1), ("too long", D1, 1)])
    tiny.land(landed, D2, "one.jsonl", [("a", D2, 3), ("bad", D1, -1), "broken", ("d", D1, 4)])
    tiny.land(landed, D3, "é% +.jsonl", [("é%", D3, 5), ("a", D3, 6), ("a", D3, 7)])
    return landed


@pytest.fixture(scope="module")
def lakes(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, on_s3: Opened, landed: DeltaStore
) -> ComputedTwice:
    """They land on S3 and are computed twice there."""
    root = tmp_path_factory.mktemp("laws")
    return compute_twice(spark, root, TINY, landed.landing.root, DAYS, opened=on_s3)


@pytest.fixture(scope="module")
def near(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, landed: DeltaStore) -> DeltaStore:
    """The same lake in a folder."""
    store = open_lake(tmp_path_factory.mktemp("near"), spark, landing=landed.landing.root)
    refresh_all(store, [DAYS], TINY.values())
    return store


@pytest.mark.parametrize("obeyed", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("table", TINY.values(), ids=TINY.keys())
def test_tables_on_s3_obey(lakes: ComputedTwice, table: Table, obeyed: Law) -> None:
    obeyed(lakes, table)


def test_tables_and_quarantines_hold_the_rows_of_those_in_a_folder(
    s3: Server, lakes: ComputedTwice, near: DeltaStore
) -> None:
    assert assert_same(s3, lakes.store, near, TINY.values()) == 11 + 6 + 3 + 3


def test_sql_reads_them_and_nothing_else(lakes: ComputedTwice, near: DeltaStore) -> None:
    query = "SELECT * FROM silver.marks JOIN gold.totals USING (day) WHERE day > DATE '2013-01-01' ORDER BY ALL"
    with connect(near, TINY.values()) as sql:
        expected = sql.sql(query).fetchall()
    with connect(lakes.store, TINY.values()) as sql:
        confine(sql, lakes.store)

        assert sql.sql(query).fetchall() == expected
        assert sql.sql("SELECT count(*) FROM lake.ledger WHERE \"table\" = 'gold.totals'").fetchone() == (3,)
        with pytest.raises(Exception, match="disabled"):
            sql.sql(f"SELECT * FROM delta_scan('s3://{BUCKET}/other')")


def test_maintenance_joins_files_and_removes_what_a_killed_writer_left(
    s3: Server, lakes: ComputedTwice, near: DeltaStore, tmp_path: Path
) -> None:
    schema = tiny.marks.contract.arrow_schema
    for number in range(6):
        row = pa.Table.from_pylist([{"name": f"m{number}", "day": D2, "points": number}], schema=schema)
        for store in (lakes.store, near):
            store.append(tiny.marks, row, Txn("test", number), {})
    path = lakes.store.path(tiny.marks)
    prefix = path.removeprefix(f"s3://{BUCKET}/")
    left = f"{prefix}/c-dead/_temporary/0/task/part-0.parquet"
    s3.client().put_object(Bucket=BUCKET, Key=left, Body=b"half")

    done = maintain(TINY.values(), lakes.store, checkpoints=tmp_path, now=datetime.now(UTC) + timedelta(days=60))

    found = {one.name: one for one in done}
    assert found["silver.marks"].days_joined == 1
    assert found["silver.marks"].files_removed == 1
    assert "lake.ledger" in found
    assert s3.client().list_objects_v2(Bucket=BUCKET, Prefix=left)["KeyCount"] == 0
    assert assert_same(s3, lakes.store, near, TINY.values()) == 11 + 6 + 6 + 3 + 3


def test_the_table_of_another_team_is_read_where_landing_lies(
    spark: SparkSession, tmp_path: Path, on_s3: Opened
) -> None:
    landing = on_s3(tmp_path / "shared", spark).landing
    rows = pa.table({"id": [1, 2, 3], "ordered_on": [D1, D1, D2]})
    assert isinstance(landing.location, StorePath)
    options = dict(landing.location.options)
    write_deltalake(f"{landing.location}/sales", rows, partition_by=["ordered_on"], storage_options=options)
    feed = DeltaFeed("sales", "", table="sales", day="ordered_on")

    assert (landing.days(feed), landing.count_rows(feed, D1)) == ([D1, D2], 2)
    read = landing.read(spark, feed, [D1]).select("line").orderBy("line").collect()
    assert [json.loads(row["line"])["id"] for row in read] == [1, 2]


def flights(messages: Messages) -> list[Message]:
    """Flights of three days that leave and arrive, one message doubled, one broken, one late."""
    sent = []
    for day in (1, 2, 3):
        for number in (1, 2, 3):
            left, reached = at(day, 9, number), at(day, 11, number)
            sent += [
                messages.departure(left.date(), number, scheduled=at(day, 9), left=left, sent=left),
                messages.arrival(left.date(), number, scheduled=at(day, 11), reached=reached, sent=reached),
            ]
    late = at(1, 20)
    sent.append(messages.departure(late.date(), 9, scheduled=late, left=late, sent=at(3, 12)))
    return [*sent, messages.again(sent[0], at(1, 10)), messages.broken("departures", "{", at(2, 10))]


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path, on_s3: Opened) -> Iterator[Lake]:
    """A lake with tables and landing on S3, checkpoints here."""
    with interpreted(spark):
        found = Lake(tmp_path / "streamed", lambda: spark, list(STREAMED))
        found.store = on_s3(found.home, spark)
        found.landing = found.store.landing
        found.frontier = FrontierTable(found.store)
        yield found


def test_streams_from_files_give_the_rows_of_batch(lake: Lake) -> None:
    sent = flights(Messages())
    lake.land(sent[:-3], "one.jsonl")
    lake.follow(since=D1)
    lake.land(sent[-3:], "two.jsonl")
    lake.follow()

    lake.check_equals_batch(sent)


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    broker = LocalBroker(tmp_path / "kafka")
    broker.up()
    found = Kafka(broker)
    for topic in ("departures", "arrivals"):
        found.create(topic)
    yield found
    broker.down()


def test_streams_from_kafka_with_checkpoints_on_s3_give_the_rows_of_batch(
    lake: Lake, kafka: Kafka, s3_settings: Settings
) -> None:
    checkpoints = open_checkpoints(replace(s3_settings, checkpoints=f"s3://{BUCKET}/checkpoints-of-kafka"))
    sent = flights(Messages())
    for part in (sent[:7], sent[7:]):
        for topic in ("departures", "arrivals"):
            kafka.send([message for message in part if message["topic"] == topic], topic)
        lake.follow(since=D1, source=kafka.source, checkpoints=checkpoints)

    state = lake.frontier.state()
    assert state is not None
    assert set(state.generations.values()) == {1}  # the second call went on where the first had ended
    assert not (lake.home / "checkpoints").exists()
    read = Maintenance(lake.store, checkpoints, datetime.now(UTC))._readers
    assert set(read) == {lake.store.table_log(table).table_id() for table in STREAMED[:4]}
    lake.check_equals_batch(sent)
