"""Each new row of a table reaches a topic: none is missing, and one that comes twice has the same id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from deltalake import DeltaTable

from lake.declare.destinations import KafkaTopic
from lake.declare.sink import Sink
from lake.engine.failpoints import VARIABLE
from lake.errors import NotHandedOn, TopicMissing, TopicUnreachable
from lake.serve.compare import find_differing, stand
from lake.serve.kafka_topic import KafkaTarget
from lake.serve.publish import Published, publish
from lake.serve.target import Place
from lake.write.store import DeltaStore
from tests.kafka import Kafka
from tests.lakes import without_spark
from tests.recorded import record
from tests.served import (
    D1,
    D2,
    D3,
    Row,
    add,
    at_point,
    deeper,
    delta_rows,
    facts,
    nested,
    refill,
    row,
    sink_of,
    some_rows,
    survey_of,
)

pytestmark = [pytest.mark.streams, pytest.mark.faults]

TOPIC = "alerts"
PLAIN = sink_of(facts, KafkaTopic(TOPIC))
TRANSACTIONAL = sink_of(facts, KafkaTopic(TOPIC, in_transaction=True))
BOTH = pytest.mark.parametrize("board", [PLAIN, TRANSACTIONAL], ids=["plain", "transaction"])


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path / "lake")


@pytest.fixture
def place(tmp_path: Path, kafka: Kafka) -> Place:
    kafka.create(TOPIC)
    return Place(tmp_path / "home", {}, lock_timeout_seconds=5, kafka=kafka.cluster)


def load(store: DeltaStore, place: Place, board: Sink, *, anew: bool = False) -> Published:
    return publish(board, survey_of(store, facts), place, anew=anew)


def received(place: Place, topic: str = TOPIC, *, committed: bool = True) -> list[Message]:
    """Read a topic from its beginning, as a consumer of somebody else would."""
    assert place.kafka is not None
    level = "read_committed" if committed else "read_uncommitted"
    own = {"group.id": "somebody", "enable.partition.eof": True, "isolation.level": level, "enable.auto.commit": False}
    consumer, found = Consumer({**place.kafka.for_librdkafka(), **own}), list[Message]()
    parts = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, part, 0) for part in parts])
    ended: set[int | None] = set()
    while len(ended) < len(parts):
        message = consumer.poll(20)
        assert message is not None, "no answer"
        if (error := message.error()) is None:
            found.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            ended.add(message.partition())
    consumer.close()
    return found


def values(messages: list[Message]) -> list[str]:
    return sorted((message.value() or b"").decode() for message in messages)


def ids(rows: list[Row]) -> list[str]:
    return sorted(json.dumps([one["name"], str(one["day"])], separators=(",", ":"), ensure_ascii=False) for one in rows)


def test_a_row_is_a_message_under_the_values_of_its_key(store: DeltaStore, place: Place) -> None:
    at = datetime(2024, 2, 27, 5, 6, 7, 8, UTC)
    values_of = {"big": 2**60, "price": Decimal("1.5"), "ratio": float("nan"), "raw": b"\x00\xff", "labels": ["é"]}
    refill(store, facts, [D1], [row("a", D1, at=at, point={"x": 1.5, "label": None}, **values_of)])

    assert load(store, place, PLAIN).rows == 1

    (message,) = received(place)
    assert message.key() == b'["a","2024-02-27"]'
    assert message.headers() == [("id", b'["a","2024-02-27"]')]
    assert json.loads(message.value() or b"") == {
        "name": "a",
        "day": "2024-02-27",
        "at": "2024-02-27T05:06:07.000008Z",
        "big": 2**60,
        "small": None,
        "price": "1.5000",
        "ratio": "nan",
        "is_good": None,
        "raw": "AP8=",
        "order": None,
        "point": {"x": 1.5, "label": None},
        "labels": ["é"],
    }


@BOTH
def test_only_rows_that_are_new_or_other_are_sent(board: Sink, store: DeltaStore, place: Place) -> None:
    assert load(store, place, board).version is None
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2, big=1)])
    assert load(store, place, board).rows == 2
    assert load(store, place, board).days == {}
    refill(store, facts, [D1], [row("a", D1)])  # computed again
    add(store, facts, [row("c", D3)])
    add(store, facts, [row("d", D3)])
    DeltaTable(store.path(facts)).optimize.compact()
    refill(store, facts, [D2], [row("b", D2, big=2)])
    target = KafkaTarget(board, place)

    behind = stand(board, survey_of(store, facts), place)
    assert set(behind.due.days) == {D1, D2, D3}
    assert {day: one.rows for day, one in target.loads().items()} == {None: 2}
    done = load(store, place, board)

    assert {day: one.rows for day, one in done.days.items()} == {D2: 1, D3: 2}
    assert [json.loads(one)["name"] for one in values(received(place))] == ["a", "b", "b", "c", "d"]
    note = target.handed_on()
    assert note is not None
    assert (note.table_id, note.version) == (store.table_log(facts).table_id(), done.version)


def test_what_changes_under_one_key_arrives_in_its_order(store: DeltaStore, place: Place) -> None:
    for number in range(5):
        refill(store, facts, [D1], [row(name, D1, big=number) for name in "abcdefgh"])
        load(store, place, PLAIN)

    seen: dict[bytes, list[int]] = {}
    for message in received(place):
        seen.setdefault(message.key() or b"", []).append(json.loads(message.value() or b"")["big"])
    assert list(seen.values()) == [[0, 1, 2, 3, 4]] * 8


@BOTH
def test_a_field_that_structs_have_got_is_in_messages_from_then_on(
    board: Sink, store: DeltaStore, place: Place
) -> None:
    """A row that is computed again, and has nothing in the field, is the one that was sent."""
    before, after = replace(board, reads=nested), replace(board, reads=deeper)
    refill(store, nested, [D1, D2], [at_point("a", D1, x=1.5), at_point("b", D2, x=2.5)])
    assert publish(before, survey_of(store, nested), place).rows == 2

    refill(store, deeper, [D2], [at_point("b", D2, x=2.5, height=100.0)])
    refill(store, deeper, [D1], [at_point("a", D1, x=1.5), at_point("c", D1, x=3.5)])
    assert publish(after, survey_of(store, deeper), place).rows == 2
    assert publish(after, survey_of(store, deeper), place).rows == 0

    said = [json.loads(message.value() or b"") for message in received(place)]
    old, new = {"x": 1.5, "label": None}, {"x": 2.5, "label": None, "height": 100.0}
    found = [(one["name"], one["point"]["x"], one["point"].get("height", "no such field")) for one in said]
    assert sorted(found, key=str) == [
        ("a", 1.5, "no such field"), ("b", 2.5, "no such field"), ("b", 2.5, 100.0), ("c", 3.5, None),
    ]  # fmt: skip
    held = {(one["name"], "height" in one["point"]): (one["point"], one["visits"], one["by_name"]) for one in said}
    assert held["a", False] == (old, [old, None], [["here", old]])
    assert held["b", True] == (new, [new, None], [["here", new]])


def test_early_days_wait_unless_they_are_asked_for(store: DeltaStore, place: Place) -> None:
    settled = sink_of(facts, KafkaTopic(TOPIC), settled_only=True)
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    assert load(store, place, settled).days == {}
    table_ids = {facts.full_name: store.table_log(facts).table_id()}
    record(store, facts, [D1], version=1, inputs={"bronze.fact_files": None}, table_ids=table_ids)

    assert list(load(store, place, settled).days) == [D1]
    assert list(load(store, place, PLAIN).days) == [D2]
    assert len(received(place)) == 2


@BOTH
def test_a_table_made_anew_or_a_lost_note_costs_repeats_and_no_row(
    board: Sink, store: DeltaStore, place: Place
) -> None:
    refill(store, facts, [D1], [row("a", D1), row("b", D1)])
    load(store, place, board)

    assert load(store, place, board, anew=True).rows == 2

    assert Counter(message.key() for message in received(place)) == {
        b'["a","2024-02-27"]': 2,
        b'["b","2024-02-27"]': 2,
    }
    assert load(store, place, board).days == {}


@BOTH
def test_rows_that_are_too_large_go_to_the_dead_letters(
    board: Sink, store: DeltaStore, place: Place, kafka: Kafka
) -> None:
    small = Sink(board.name, facts, KafkaTopic("small", in_transaction=board.to == TRANSACTIONAL.to), board.how, False)
    kafka.create("small", {"max.message.bytes": "3000"})
    rows = [row(f"n{number}", D1, order="x" * 1_000) for number in range(50)]
    refill(store, facts, [D1], [*rows, row("large", D1, order="x" * 5_000)])

    assert load(store, place, small).rows == 50

    assert len(received(place, "small")) == 50
    (dead,) = received(place, "small.dead")
    assert (dead.key(), dead.value()) == (b'["large","2024-02-27"]', None)
    assert b"the topic takes 3,000" in dict(dead.headers() or [])["reason"]  # type: ignore[operator]  # bytes
    assert load(store, place, small).days == {}
    assert KafkaTarget(small, place).left_out().startswith("1 rows are too large")
    assert find_differing(small, survey_of(store, facts), place)[1].keys() == {None}


def test_a_topic_that_is_not_there_and_a_cluster_that_is_not_named(store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    with pytest.raises(TopicMissing, match="nowhere"):
        load(store, place, sink_of(facts, KafkaTopic("nowhere")))
    with pytest.raises(NotHandedOn, match="names no cluster"):
        load(store, Place(place.home, {}), PLAIN)


POINTS = ["before_load", "after_load", "before_swap", "after_swap"]


@BOTH
def test_a_relay_that_is_killed_loses_nothing(board: Sink, store: DeltaStore, place: Place, tmp_path: Path) -> None:
    """Killed at each step in turn; then rows of the table and ids of the topic are the same, each once if committed."""
    random = Random(7)
    add(store, facts, some_rows(random, D1, 200))
    for point in POINTS:
        add(store, facts, some_rows(random, D2, 100))
        killed = subprocess.run(
            [sys.executable, "-c", _code(board, place, tmp_path)], env={**os.environ, VARIABLE: point}
        )
        assert killed.returncode == -signal.SIGKILL
    load(store, place, board)

    rows = delta_rows(store, facts)
    counts = Counter((message.key() or b"").decode() for message in received(place))
    assert sorted(counts) == ids(rows)
    assert set(counts.values()) == {1} if board is TRANSACTIONAL else max(counts.values()) > 1
    sent = received(place, committed=False)
    assert len({(message.key(), message.value()) for message in sent}) == len(rows)
    if board is TRANSACTIONAL:
        assert len(sent) > len(rows), "nothing was given up: the test kills too early"


def _code(board: Sink, place: Place, tmp_path: Path) -> str:
    assert place.kafka is not None
    name = "TRANSACTIONAL" if board is TRANSACTIONAL else "PLAIN"
    return (
        f"from pathlib import Path; from tests.end_to_end.test_kafka_sink import {name} as board, load;"
        "from tests.lakes import without_spark; from lake.serve.target import Place;"
        "from lake.stream.kafka import KafkaCluster;"
        f"kafka = KafkaCluster({place.kafka.bootstrap_servers!r});"
        f"place = Place(Path({str(place.home)!r}), {{}}, kafka=kafka);"
        f"load(without_spark(Path({str(tmp_path / 'lake')!r})), place, board)"
    )


@BOTH
def test_a_broker_that_is_killed_loses_nothing(board: Sink, store: DeltaStore, place: Place, kafka: Kafka) -> None:
    random = Random(8)
    add(store, facts, some_rows(random, D1, 20_000))
    running = kafka.broker.status()
    assert running is not None
    process = running.process
    assert process is not None

    def kill_and_start() -> None:
        time.sleep(0.4)
        process.kill()
        process.wait(30)
        kafka.broker.up()

    killer = threading.Thread(target=kill_and_start)
    killer.start()
    for _ in range(20):
        try:
            load(store, place, board)
            break
        except (NotHandedOn, TopicUnreachable):  # what a scheduler tries again
            continue
    killer.join()

    load(store, place, board)
    rows = delta_rows(store, facts)
    counts = Counter((message.key() or b"").decode() for message in received(place))
    assert sorted(counts) == ids(rows)
    if board is TRANSACTIONAL:
        assert set(counts.values()) == {1}


@pytest.mark.parametrize("seed", range(5))
def test_after_any_series_of_changes_consumers_know_the_table(seed: int, store: DeltaStore, place: Place) -> None:
    """The last message of each id is the row of the table."""
    random = Random(seed)
    days = [D1, D2, D3]
    names = [f"n{number}" for number in range(6)]
    for _ in range(random.randrange(5, 10)):
        step = random.choice(["repair", "repair", "stream", "join", "publish", "publish", "anew"])
        day = random.choice(days)
        if step == "repair":
            refill(store, facts, [day], [row(name, day, big=random.randrange(3)) for name in names])
        elif step == "stream":
            add(store, facts, some_rows(random, day, 2))
        elif step == "join" and store.table_log(facts).version() is not None:
            DeltaTable(store.path(facts)).optimize.compact()
        elif step in ("publish", "anew"):
            load(store, place, PLAIN, anew=step == "anew")
    load(store, place, PLAIN)

    last = {message.key(): json.loads(message.value() or b"") for message in received(place)}
    sent = {(one["name"], one["day"], one["big"]) for one in last.values()}
    assert sent >= {(one["name"], str(one["day"]), one["big"]) for one in delta_rows(store, facts)}
