"""Send rows to a topic.

Behind them goes the note up to where rows were handed on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from lake.engine.failpoints import failpoint
from lake.errors import NotHandedOn, TopicUnreachable
from lake.serve.new_rows import NewRow
from lake.stream.topic_reader import missing

__all__ = ["Sender", "Topics", "last_note", "open_sender"]

_ANSWERS_WITHIN_SECONDS = 20.0
_SENT_WITHIN_MS = 120_000
_TRANSACTION_WITHIN_MS = 900_000
"""The longest that a broker allows by default."""
_AROUND = 512
"""So many bytes may surround a message in the batch that a broker measures."""
_LEAST = 1_000
"""The smallest limit that the client takes."""


@dataclass(frozen=True)
class Topics:
    """The topics of a sink.

    Attributes:
        sink: its name, the key of its notes.
        rows: where rows go.
    """

    sink: str
    rows: str

    @property
    def notes(self) -> str:
        """Name the topic that says up to where rows were handed on.

        It is compacted.
        """
        return f"{self.rows}.cursor"

    @property
    def dead_letters(self) -> str:
        """Name the topic for ids of rows too large to send."""
        return f"{self.rows}.dead"


@dataclass
class Sender:
    """Send the rows of one call.

    Attributes:
        producer: of the client.
        topics: where to.
        limit: bytes of the largest message that the topic takes.
        in_transaction: whether all of it becomes visible at once.
        dead: how many rows were too large.
    """

    producer: Producer
    topics: Topics
    limit: int
    in_transaction: bool
    dead: int = 0
    _is_begun: bool = False
    _failed: list[KafkaError] = field(default_factory=list)

    def send(self, row: NewRow) -> bool:
        """Send a row.

        Returns:
            False where it is too large, and its id went to the dead letters.
        """
        key, value = row.id.encode(), row.value.encode()
        size = 2 * len(key) + len(value) + _AROUND  # the id is key and header
        if size <= self.limit:
            self._produce(self.topics.rows, key, value, {"id": key})
            return True
        self.dead += 1
        reason = f"{size:,} bytes, and the topic takes {self.limit:,}"
        self._produce(self.topics.dead_letters, key[: self.limit // 4], None, {"reason": reason.encode()})
        return False

    def finish(self, note: str) -> None:
        """Wait until the cluster has all of it, then write the note.

        Raises:
            NotHandedOn: it has not taken a message; the note is not written.
        """
        self._flush()
        failpoint("after_load", self.topics.sink)
        self._produce(self.topics.notes, self.topics.sink.encode(), note.encode(), {})
        failpoint("before_swap", self.topics.sink)
        self._flush()
        if self.in_transaction:
            self.producer.commit_transaction(_ANSWERS_WITHIN_SECONDS)
            self._is_begun = False
        failpoint("after_swap", self.topics.sink)

    def give_up(self) -> None:
        """Let nobody see what was sent, where it was in a transaction."""
        if self._is_begun:
            with suppress(KafkaException):
                self.producer.abort_transaction(_ANSWERS_WITHIN_SECONDS)

    def _produce(self, topic: str, key: bytes, value: bytes | None, headers: dict[str, bytes]) -> None:
        if self.in_transaction and not self._is_begun:
            self.producer.begin_transaction()
            self._is_begun = True
        while True:
            try:
                self.producer.produce(topic, value, key, headers=list(headers.items()), on_delivery=self._delivered)
                self.producer.poll(0)
                return
            except BufferError:  # the queue is full
                self.producer.poll(0.5)
            self._refuse_failed()

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed.append(error)

    def _flush(self) -> None:
        while self.producer.flush(1.0):
            self._refuse_failed()
        self._refuse_failed()

    def _refuse_failed(self) -> None:
        if self._failed:
            raise NotHandedOn(self.topics.sink, self.topics.rows, str(self._failed[0]))


@contextmanager
def open_sender(conf: Mapping[str, str], topics: Topics, *, in_transaction: bool) -> Iterator[Sender]:
    """Open a sender.

    Where another process has begun a transaction and died, that one is given up.

    Raises:
        TopicMissing: there is no such topic.
        TopicUnreachable: the cluster does not answer.
        NotHandedOn: it did not take what was sent.
    """
    admin = AdminClient({**conf, "log_level": 0})
    address = conf["bootstrap.servers"]
    try:
        limit = _prepare(admin, topics, address)
        producer = Producer({**conf, **_settings(topics, limit, in_transaction=in_transaction)})
        if in_transaction:
            producer.init_transactions(_ANSWERS_WITHIN_SECONDS)
    except KafkaException as error:
        raise TopicUnreachable(topics.rows, address, str(error)) from error
    sender = Sender(producer, topics, limit, in_transaction)
    try:
        yield sender
    except KafkaException as error:
        sender.give_up()
        raise NotHandedOn(topics.sink, topics.rows, str(error)) from error
    except BaseException:
        sender.give_up()
        producer.purge()
        raise


def _settings(topics: Topics, limit: int, *, in_transaction: bool) -> dict[str, str | int | bool]:
    """Return the settings of the producer.

    All replicas have a message before it counts, and a repeat of the client's own is no second one.
    """
    found: dict[str, str | int | bool] = {
        "acks": "all",
        "enable.idempotence": True,
        "delivery.timeout.ms": _SENT_WITHIN_MS,
        "message.max.bytes": max(limit, _LEAST),
        "batch.size": max(limit, _LEAST),
        "linger.ms": 20,
        "log_level": 0,
    }
    if in_transaction:
        name = f"lakehouse.{topics.sink}.{topics.rows}"
        found |= {"transactional.id": name, "transaction.timeout.ms": _TRANSACTION_WITHIN_MS}
    return found


def _prepare(admin: AdminClient, topics: Topics, address: str) -> int:
    """Make the topics that stand beside that of the rows.

    Returns:
        The largest message that the topic of the rows takes.
    """
    known = admin.list_topics(timeout=_ANSWERS_WITHIN_SECONDS).topics
    if topics.rows not in known:
        raise missing(admin, topics.rows, address, _ANSWERS_WITHIN_SECONDS)
    wanted = [NewTopic(topics.notes, 1, config={"cleanup.policy": "compact"}), NewTopic(topics.dead_letters, 1)]
    lacking = [one for one in wanted if one.topic not in known]
    for made in admin.create_topics(lacking).values() if lacking else ():
        try:
            made.result(_ANSWERS_WITHIN_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    resource = ConfigResource(ResourceType.TOPIC, topics.rows)
    found = admin.describe_configs([resource])[resource].result(_ANSWERS_WITHIN_SECONDS)
    return int(found["max.message.bytes"].value)


def last_note(conf: Mapping[str, str], topics: Topics) -> str | None:
    """Read the newest note of a sink.

    None where there is none.

    Raises:
        TopicUnreachable: the cluster does not answer.
    """
    with _reading(conf, topics.notes) as client:
        if client is None:
            return None
        client.assign([TopicPartition(topics.notes, 0, 0)])
        return _last_of(client, topics, conf["bootstrap.servers"])


@contextmanager
def _reading(conf: Mapping[str, str], topic: str) -> Iterator[Consumer | None]:
    own = {"group.id": "lakehouse", "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0}
    client = Consumer({**conf, **own, "isolation.level": "read_committed", "auto.offset.reset": "earliest"})
    try:
        known = client.list_topics(timeout=_ANSWERS_WITHIN_SECONDS).topics
        yield client if topic in known else None
    except KafkaException as error:
        raise TopicUnreachable(topic, conf["bootstrap.servers"], str(error)) from error
    finally:
        client.close()


def _last_of(client: Consumer, topics: Topics, address: str) -> str | None:
    found: str | None = None
    silent_from = time.monotonic()
    while time.monotonic() - silent_from < _ANSWERS_WITHIN_SECONDS:
        message = client.poll(0.5)
        if message is None:
            continue
        silent_from, error = time.monotonic(), message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return found
        value = None if error is not None else message.value()
        if value is not None and message.key() == topics.sink.encode():
            found = value.decode()
    raise TopicUnreachable(topics.notes, address, f"no message within {_ANSWERS_WITHIN_SECONDS:g} s")
