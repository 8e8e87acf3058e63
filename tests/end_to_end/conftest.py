"""A broker for the tests of a file, and its topic, which each test has for itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from resources.kafka_broker import LocalBroker
from tests.kafka import Kafka


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
    for topic in found.admin.list_topics(timeout=10).topics:
        found.admin.delete_topics([topic])[topic].result(30)
    while found.admin.list_topics(timeout=10).topics:
        time.sleep(0.2)
