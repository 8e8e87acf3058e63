"""Messages that Spark refuses to read: which may be passed over, and what is written down of it. Needs no JVM."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lake.declare.feed import TopicFeed
from lake.declare.topic_source import PassedMessage, Place, Unread
from lake.errors import CannotPassOver, StreamBroken
from lake.ownership.passed_over import PassedOver
from lake.storage.archive import TopicArchive
from lake.storage.landing import Landing
from lake.stream.passing import LAST_READABLE, pass_over
from lake.write.store import DeltaStore
from tests.tiny_topics import call_events, calls, text_events

TABLES = [call_events, text_events, calls]
NANOSECONDS = 1_357_041_600_000_000_000
PLACE = Place("calls", 0, 4)


def no_session() -> Any:
    raise AssertionError("this needs no Spark session")


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return DeltaStore(str(tmp_path / "tables"), Landing(tmp_path / "landing"), tmp_path / "locks", no_session)


@dataclass(frozen=True)
class Broker(TopicArchive):
    """A source with these messages."""

    held: dict[tuple[str, int, int], Unread] = field(default_factory=dict)

    def message(self, feed: TopicFeed, partition: int, offset: int) -> Unread | None:
        return self.held.get((feed.name, partition, offset))


def broker(**timestamps: int) -> Broker:
    return Broker(
        Landing(Path()), {("calls", 0, int(name[1:])): Unread(at, "k", "{}") for name, at in timestamps.items()}
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [("calls:0:4", PLACE), ("a.b_c-D9:12:345678901234567890", Place("a.b_c-D9", 12, 345678901234567890))],
)
def test_a_place_is_topic_partition_and_offset(text: str, place: Place) -> None:
    assert Place.parse(text) == place
    assert str(place) == text


@pytest.mark.parametrize(
    "text", ["", "calls", "calls:0", "calls:0:4:5", "calls:x:4", "calls:0:-1", "../x:0:4",
             "calls:0:4\n", "calls:٠:4", "calls:0:9999999999999999999", ":0:4"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CannotPassOver, match="expected TOPIC:PARTITION:OFFSET"):
        Place.parse(text)


def test_a_message_that_spark_refuses_is_written_down_with_who_passed_it_over_and_when(store: DeltaStore) -> None:
    before = datetime.now(UTC)
    assert pass_over([PLACE], TABLES, broker(o4=NANOSECONDS), store) == ["bronze.call_events"]
    (kept,) = PassedOver(store).all()
    assert kept == PassedMessage(PLACE, NANOSECONDS, "k", "{}", kept.passed_at, kept.passed_by)
    assert before <= kept.passed_at <= datetime.now(UTC)
    assert kept.passed_by.startswith(f"{getpass.getuser()}@")


def test_who_asks_twice_is_written_down_once(store: DeltaStore) -> None:
    source = broker(o4=NANOSECONDS, o9=-NANOSECONDS)
    pass_over([PLACE], TABLES, source, store)
    pass_over([Place("calls", 0, 9), PLACE], TABLES, source, store)
    assert [one.place.offset for one in PassedOver(store).all()] == [4, 9]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Place("calls", 0, 5), "holds no message at this place"),
        (Place("weather", 0, 4), "the topics of the followed tables are calls, texts"),
        (Place("calls", 0, 6), "Spark can read this message"),
        (Place("calls", 0, 7), "Spark can read this message"),
    ],
)
def test_nothing_else_is_passed_over(store: DeltaStore, place: Place, reason: str) -> None:
    with pytest.raises(CannotPassOver, match=reason):
        pass_over([place], TABLES, broker(o4=NANOSECONDS, o6=1_357_041_600_000, o7=LAST_READABLE), store)
    assert PassedOver(store).all() == []


def test_a_lake_in_which_nothing_was_passed_over_says_so(store: DeltaStore) -> None:
    nothing: Sequence[PassedMessage] = []
    assert PassedOver(store).all() == nothing


def test_a_stream_that_met_such_a_message_names_the_command() -> None:
    said = "Record at topic calls partition 0 offset 4 has timestamp value 1357041600000000000 that overflows"
    page, remedy = StreamBroken("bronze.call_events", said, "checkpoint").diagnosis
    assert (page, remedy) == (
        "A message that Spark refuses to read", "lakehouse follow --feed kafka --pass-over calls:0:4",
    )  # fmt: skip
