"""What is due, late and told of a table of current rows, in lakes whose logs are made by hand. Needs no JVM."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.batch.freshness import FreshnessJudge
from lake.batch.plan import steps_to_date
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.engine.failpoints import VARIABLE
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.definitions import build_definitions
from lake.orchestration.keys import asset_key
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sensors.stream_commits import build_stream_commits
from lake.ownership.frontier import Frontier, FrontierTable
from lake.project.settings import Settings
from lake.stream.latest_writer import LatestWriter
from lake.stream.mode_writer import Batch
from lake.testing.lakes import stored_rows
from lake.write.enforce import Collected
from lake.write.horizon import Horizon
from lake.write.key_order import IS_VALID, first_by_key, newer_than_held
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark
from tests.quiet_dagster import QUIET_DAGSTER
from tests.recorded import D1, D2, D3, commit, follow, hold, record
from tests.tiny_latest import TABLES, parcel_events, parcel_places, parcel_scans, parcels

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]

CALENDAR = Days.between(D1, date(2013, 1, 31))
PLACES = parcel_places.full_name


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    """A lake in which batch has computed two days of scans and the places, and streams own the second day."""
    store = without_spark(tmp_path)
    for table in (parcel_events, parcel_scans):
        hold(store, table, [D1, D2])
    follow(store, *TABLES.values())
    compute(store)
    return store


def compute(store: DeltaStore) -> None:
    """Let batch have computed the places from what the scans are now."""
    commit(store, parcel_places, {D1: 1}, streamed=False)
    read, tables = store.version(parcel_scans), (parcel_scans, parcel_places)
    ids = {table.full_name: name for table in tables if (name := store.table_log(table).table_id())}
    facts: dict[str, Any] = {
        "inputs": {parcel_scans.full_name: read},
        "table_ids": ids,
        "version": store.version(parcel_places),
    }
    record(store, parcel_places, [None], **facts)


def stale(store: DeltaStore) -> dict[date | None, str]:
    state = Survey([parcel_places], store, CALENDAR).states[PLACES]
    return {**state.missing, **state.stale}


def test_what_its_stream_reads_and_writes_makes_it_neither_stale_nor_late(store: DeltaStore) -> None:
    commit(store, parcel_scans, {D2: 1})
    commit(store, parcel_places, {D1: 1})

    assert stale(store) == {}
    judge = FreshnessJudge(Survey(list(TABLES.values()), store, CALENDAR), datetime(2013, 1, 4, 5, tzinfo=UTC))
    assert judge._not_read(parcel_places, D2) is None


def test_a_row_that_came_late_for_a_sealed_day_and_each_seal_make_it_due_and_late(store: DeltaStore) -> None:
    commit(store, parcel_scans, {D1: 1}, streamed=False)
    assert stale(store) == {None: "silver.parcel_scans changed in version 2"}
    judge = FreshnessJudge(Survey(list(TABLES.values()), store, CALENDAR), datetime(2013, 1, 4, 5, tzinfo=UTC))
    assert judge._not_read(parcel_places, D1) == (
        "silver.parcel_scans changed in version 2, which gold.parcel_places has not read"
    )
    compute(store)
    assert stale(store) == {}

    commit(store, parcel_scans, {D2: 1})
    assert stale(store) == {}
    FrontierTable(store).change(lambda now: Frontier(D1, D3, None, now.claimed, now.generations), "seal")  # type: ignore[union-attr]
    assert stale(store) == {None: "silver.parcel_scans changed in version 3"}
    steps = steps_to_date(Survey([parcel_places], store, CALENDAR), [parcel_places])
    assert [(step.tables, step.days) for step in steps] == [((parcel_places,), None)]


def test_once_it_is_released_batch_computes_what_a_stream_wrote_last(store: DeltaStore) -> None:
    commit(store, parcel_places, {D1: 1})
    FrontierTable(store).change(lambda _: Frontier(D1, D2), "release")

    assert stale(store) == {None: "version 2 was written without a receipt"}


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("DAGSTER_HOME", "LAKEHOUSE_HOME"):
        monkeypatch.setenv(name, "")
    with open_instance(settings_of(tmp_path)) as instance:
        yield instance


def settings_of(home: Path) -> Settings:
    return Settings.from_env({"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_NOW": "2013-01-04T00:00:00Z"})


def tick(instance: dg.DagsterInstance, home: Path, cursor: str | None) -> str | None:
    tables = list(TABLES.values())
    lakehouse_settings = settings_of(home)
    with dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        resources={"lakehouse": LakehouseResource.from_settings(lakehouse_settings)},
        definitions=build_definitions(lakehouse_settings, tables),
    ) as context:
        return build_stream_commits(lakehouse_settings, tables).evaluate_tick(context).cursor


def test_each_commit_of_its_stream_is_a_materialization_of_the_whole_table(
    store: DeltaStore, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    def told() -> list[tuple[str | None, object]]:
        records = instance.fetch_materializations(asset_key(parcel_places), limit=100).records
        events = [record.asset_materialization for record in records]
        return [(event.partition, event.metadata["version"].value) for event in events if event]

    cursor = None
    for _ in TABLES:  # each is compared in a tick of its own
        cursor = tick(instance, tmp_path, cursor)
    assert told() == [], "batch wrote it last, and reports itself"

    commit(store, parcel_places, {D1: 1})
    cursor = tick(instance, tmp_path, cursor)
    assert told() == [(None, 2)]
    cursor = tick(instance, tmp_path, cursor)
    assert told() == [(None, 2)]

    cursor = None
    for _ in TABLES:
        cursor = tick(instance, tmp_path, cursor)
    assert told() == [(None, 2), (None, 2)], "a lost cursor tells the newest state once more"


SCANNED = st.tuples(
    st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 1), st.sampled_from(["", "Oslo", "Rome", None])
)
"""Parcel, hour, number and place, of so few that most rows have equals."""


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(SCANNED, min_size=1, max_size=6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_rows_in_any_order_cut_anywhere_and_given_twice_leave_the_newest_of_each_key(
    batches: list[list[tuple[str, int, int, str | None]]], seed: int
) -> None:
    sent = [row for batch in batches for row in batch]
    expected = {
        key: min(
            (row for row in sent if row[0] == key), key=lambda row: (-row[1], -row[2], row[3] is None, row[3] or "")
        )
        for key in {row[0] for row in sent}
    }
    shuffled = random.Random(seed).sample([*batches, *batches], 2 * len(batches))

    with TemporaryDirectory() as folder:
        store = without_spark(Path(folder))
        store.create(parcels)
        for rows in shuffled:
            keep_newer(store, rows)
        held = [
            (row["parcel"], row["scanned_at"].hour, row["scan"], row["place"]) for row in stored_rows(store, parcels)
        ]
        version = store.version(parcels)
        for rows in shuffled:
            keep_newer(store, rows)

        assert held == sorted(expected.values())
        assert store.version(parcels) == version, "nothing is new"


def rows_of(rows: list[tuple[str, int, int, str | None]]) -> pa.Table:
    """Rows of parcels, in the columns of their contract."""
    names = ("parcel", "scanned_at", "scan", "place")
    at = [(parcel, datetime(2013, 1, 1, hour, tzinfo=UTC), scan, place) for parcel, hour, scan, place in rows]
    columns = dict(zip(names, zip(*at, strict=True), strict=True))
    return pa.table({name: list(values) for name, values in columns.items()}, schema=parcels.contract.arrow_schema)


def keep_newer(store: DeltaStore, rows: list[tuple[str, int, int, str | None]]) -> None:
    """What a small micro-batch of these rows does."""
    newer = newer_than_held(parcels, first_by_key(rows_of(rows), parcels), store.table_log(parcels))
    assert newer is not None
    if newer.num_rows:
        store.upsert(parcels, newer, None, {})


def write_small(home: Path) -> None:
    """Write four small micro-batches as the stream does, of which those that were written are passed over."""
    store = without_spark(home)
    store.create(parcels)
    writer = LatestWriter(parcels, store, False, lambda step, number: Txn(f"test/{step}", number), lambda number: {})
    for number, hours in enumerate(([1, 2], [0, 3], [3, 2], [1, 1])):
        judged = rows_of([("abc"[place], hour, number, "Oslo") for place, hour in enumerate(hours)])
        judged = judged.append_column(IS_VALID, pa.array([True] * judged.num_rows))
        nothing: Any = None  # no frame is looked at where no row is rejected
        batch = Batch(number, nothing, D1, Horizon(datetime.now(UTC)))
        if not store.is_committed(store.path(parcels), writer.txn("write", number)):
            writer.write_few(Collected(parcels, judged, nothing), batch)


@pytest.mark.parametrize(
    "point",
    [
        "after_commit:2",
        *(pytest.param(one, marks=pytest.mark.streams) for one in ("before_write:2", "after_files:2", "after_files:3")),
    ],
)
def test_a_process_that_is_killed_while_it_writes_goes_on_with_the_same_rows(tmp_path: Path, point: str) -> None:
    command = [sys.executable, "-c", f"from {__name__} import *; write_small(Path({str(tmp_path)!r}))"]
    root = Path(__file__).parents[2]
    victim = os.environ | {"PYTHONPATH": str(root), VARIABLE: point}

    assert subprocess.run(command, env=victim, cwd=root, check=False).returncode == -signal.SIGKILL
    for _ in range(2):
        write_small(tmp_path)

    store = without_spark(tmp_path)
    held = {row["parcel"]: (row["scanned_at"].hour, row["scan"]) for row in stored_rows(store, parcels)}
    assert held == {"a": (3, 2), "b": (3, 1)}
    assert store.version(parcels) == 3, "each step was committed once, and the last has nothing new"
