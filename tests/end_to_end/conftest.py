"""What the tests of whole lakes share: a session that starts late; a broker for a file, and a topic for each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from pyspark.sql import SparkSession

from lake.commands.kafka_broker import LocalBroker
from tests.kafka import Kafka


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Callable[[], SparkSession]:
    """Only when the processes of a test are dead: two JVMs at once are one too many for a small machine."""

    def start() -> SparkSession:
        found: SparkSession = request.getfixturevalue("spark")
        return found

    return start


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    local = LocalBroker(tmp_path_factory.mktemp("kafka"))
    local.up()
    yield local
    local.down()


@pytest.fixture
def kafka(broker: LocalBroker) -> Iterator[Kafka]:
    found = Kafka(broker)
    found.create()
    yield found
    for topic in topics_of(found):
        found.admin.delete_topics([topic])[topic].result(30)
    while topics_of(found):
        time.sleep(0.2)


def topics_of(kafka: Kafka) -> list[str]:
    """Without those that Kafka keeps for itself."""
    return [topic for topic in kafka.admin.list_topics(timeout=10).topics if not topic.startswith("__")]
