"""A publication that is killed anywhere is done again, once; and who reads meanwhile never sees half a day."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lake.serve.publish import publish
from lake.serve.target import Place
from lake.testing.laws import a_sink_holds_its_table_at_the_versions_it_names
from lake.write.store import DeltaStore
from tests.lakes import without_spark
from tests.publishing import KINDS, ROWS, read_over_and_over, start_publishing
from tests.served import D1, D2, Row, facts, refill, row, sink_of, survey_of

EMBEDDED = "duckdb"
"""The destination that every run of the tests tries; the others are tried in the lane of streams."""
every_kind = pytest.mark.parametrize(
    "kind", [kind if kind == EMBEDDED else pytest.param(kind, marks=pytest.mark.streams) for kind in KINDS]
)
POINTS = ["before_load", "after_load", "before_swap", "after_swap"]


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path / "lake")


def rows_of(number: int) -> list[Row]:
    return [row(f"n{name}", day, big=number) for day in (D1, D2) for name in range(ROWS)]


@every_kind
@pytest.mark.faults
@pytest.mark.slow
def test_after_kill_9_at_each_step_publishing_again_gives_the_table(
    kind: str, store: DeltaStore, tmp_path: Path, dsn: str
) -> None:
    board, place = sink_of(facts, KINDS[kind]), Place(tmp_path / "home", {"WAREHOUSE_DSN": dsn})
    for number, point in enumerate(POINTS):
        refill(store, facts, [D1, D2], rows_of(number))

        killed = start_publishing(tmp_path, kind, WAREHOUSE_DSN=dsn, LAKEHOUSE_FAILPOINT=point)
        _, said = killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL, said.decode()
        done = publish(board, survey_of(store, facts), place)

        is_over = point == "after_swap"
        assert set(done.days) == (({D2} if kind == "parquet" else set()) if is_over else {D1, D2})
        assert publish(board, survey_of(store, facts), place).days == {}
        a_sink_holds_its_table_at_the_versions_it_names(board, store, place)


@every_kind
@pytest.mark.slow
def test_a_reader_never_sees_half_a_day(kind: str, store: DeltaStore, tmp_path: Path, dsn: str) -> None:
    board, place = sink_of(facts, KINDS[kind]), Place(tmp_path / "home", {"WAREHOUSE_DSN": dsn})
    refill(store, facts, [D1, D2], rows_of(0))
    publish(board, survey_of(store, facts), place, anew=True)
    reader = read_over_and_over(tmp_path, kind, WAREHOUSE_DSN=dsn)
    try:
        for number in range(1, 16):
            refill(store, facts, [D1, D2], rows_of(number))
            publish(board, survey_of(store, facts), place)
    finally:
        seen, said = reader.communicate(b"end\n", timeout=60)

    assert reader.returncode == 0, said.decode()
    *halves, summary = seen.decode().splitlines()
    looks, versions = map(int, summary.split())
    assert halves == []
    assert looks >= versions >= 3, "it has read while days were replaced"
