"""How far a topic was read, in the words of Spark's checkpoint and of the commits of bronze."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lake.storage.log import Log
from lake.stream.read_offsets import furthest, noted, planned, read_by_checkpoint

METADATA = '{"batchWatermarkMs":0,"batchTimestampMs":1357030800000,"conf":{"spark.sql.shuffle.partitions":"2"}}'
KAFKA = '{"departures":{"2":7,"0":12}}'
DELTA = '{"sourceVersion":1,"reservoirId":"a1","reservoirVersion":4,"index":-1,"isStartingVersion":false}'
FILES = '{"logOffset":3}'


def checkpoint(folder: Path, batches: dict[int, str], finished: list[int]) -> Path:
    for kind in ("offsets", "commits"):
        (folder / kind).mkdir(parents=True)
    for batch_id, source in batches.items():
        (folder / "offsets" / str(batch_id)).write_text(f"v1\n{METADATA}\n{source}")
        (folder / "offsets" / f".{batch_id}.crc").write_bytes(b"crc")
    for batch_id in finished:
        (folder / "commits" / str(batch_id)).write_text('v1\n{"nextBatchWatermarkMs":0}')
        (folder / "commits" / f".{batch_id}.crc").write_bytes(b"crc")
    return folder


@pytest.mark.parametrize(
    ("source", "found"),
    [(KAFKA, {"departures": {0: 12, 2: 7}}), (DELTA, {}), (FILES, {}), ("{", {}), ("-", {})],
)
def test_a_micro_batch_says_where_it_ends_in_a_topic_and_other_sources_do_not(
    tmp_path: Path, source: str, found: dict[str, Any]
) -> None:
    assert planned(checkpoint(tmp_path / "g1-abc", {5: source}, []), 5) == found
    assert planned(tmp_path / "g1-abc", 6) == {}


def test_what_was_planned_and_not_finished_was_not_read(tmp_path: Path) -> None:
    ends = {9: '{"departures":{"0":4}}', 10: '{"departures":{"0":6}}', 11: '{"departures":{"0":8}}'}
    checkpoint(tmp_path / "g1-abc", ends, [9, 10])

    assert read_by_checkpoint(tmp_path, "departures") == {0: 6}
    assert read_by_checkpoint(tmp_path, "arrivals") == {}
    assert read_by_checkpoint(tmp_path / "nothing here", "departures") == {}


def test_the_newest_commit_that_speaks_of_a_topic_says_how_far_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    said: list[dict[str, Any]] = [
        {"read_to": {"departures": {"0": 2}}},
        {"read_to": {"departures": {"0": 5, "1": 1}}},
        {"read_to": {"departures_2": {"0": 1}}},
        {"read_to": "nonsense"},
        {"refresh": "bronze.departure_events"},
    ]
    for version, metadata in enumerate(said):
        line = {"commitInfo": {"timestamp": 1, "operation": "WRITE", "userMetadata": json.dumps(metadata)}}
        (tmp_path / "_delta_log" / f"{version:020d}.json").write_text(json.dumps(line))
    newest = list(range(len(said)))

    class Written(Log):
        def version(self) -> int | None:
            return newest[-1] if newest else None

    log = Written(str(tmp_path))
    assert noted(log, "departures") == {0: 5, 1: 1}
    assert noted(log, "departures_2") == {0: 1}
    assert noted(log, "arrivals") == {}
    newest.clear()
    assert noted(log, "departures") == {}


def test_of_several_accounts_the_furthest_counts_by_partition() -> None:
    assert furthest([{0: 5, 1: 2}, {}, {0: 3, 1: 4, 2: 0}]) == {0: 5, 1: 4, 2: 0}
