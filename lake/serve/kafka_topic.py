"""Hand the new rows of a table on to a Kafka topic.

Each goes under the id of its row. Up to where rows were handed on is noted in a compacted topic beside, after the rows
are there; so a relay that is killed sends some rows again, under the same ids, and none is missing. In a transaction
rows and note become visible together: who reads committed messages only sees each row once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from lake.declare.days import Day
from lake.declare.destinations import KafkaTopic
from lake.declare.sink import Sink
from lake.errors import NotHandedOn, TopicUnreachable
from lake.serve.kafka_sending import Topics, last_note, open_sender
from lake.serve.local_files import hold
from lake.serve.new_rows import HandedOn, NewRows
from lake.serve.source import Source
from lake.serve.target import EPOCH, Load, Place
from lake.storage.retention import Promise

__all__ = ["KafkaTarget"]


@dataclass(frozen=True)
class KafkaTarget:
    """The topic of one sink, as a `lake.serve.target.Follower`."""

    sink: Sink
    place: Place
    anew: bool = False

    @property
    def to(self) -> KafkaTopic:
        """Return the topic that was declared."""
        assert isinstance(self.sink.to, KafkaTopic)
        return self.sink.to

    @property
    def topics(self) -> Topics:
        """Name the topics that it sends to."""
        return Topics(self.sink.full_name, self.to.topic)

    @property
    def _conf(self) -> Mapping[str, str]:
        if self.place.kafka is None:
            problem = "LAKEHOUSE_KAFKA names no cluster, and lakehouse kafka up has started none"
            raise NotHandedOn(self.sink.full_name, self.to.topic, problem)
        return self.place.kafka.for_librdkafka()

    def handed_on(self) -> HandedOn | None:
        """Read up to where rows were handed on.

        None where the destination does not know.
        """
        note = None if self.anew else last_note(self._conf, self.topics)
        return None if note is None else HandedOn.from_json(note)

    def due(self, source: Source, allowed: Collection[Day] | None) -> Mapping[Day, str]:
        new = NewRows(source, self.handed_on(), allowed).files_by_day()
        return {day: f"{sum(one.rows for one in added):,} rows in new files" for day, (added, _) in new.items()}

    def behind(self, source: Source, allowed: Collection[Day] | None) -> int:
        new = NewRows(source, self.handed_on(), allowed).files_by_day()
        return sum(one.rows for added, _ in new.values() for one in added)

    def loads(self) -> Mapping[Day, Load]:
        """Say how many rows were sent in all, and up to which version."""
        note = self.handed_on()
        return {None: Load(note.table_id, note.version, note.commit, note.rows, "")} if note else {}

    def left_out(self) -> str:
        note = self.handed_on()
        number = note.dead_letters if note else 0
        return (
            f"{number} rows are too large for the topic; their ids are in {self.topics.dead_letters}" if number else ""
        )

    def promise(self, source: Source) -> Promise | None:
        """Keep what tells the rows that were handed on from those that were not."""
        try:
            before = self.handed_on()
        except TopicUnreachable:
            return Promise(self.sink.full_name, EPOCH)
        if before is None or before.table_id != source.table_id or before.version == source.version:
            return None
        return Promise(self.sink.full_name, datetime.fromisoformat(before.committed_at))

    def load(self, source: Source, allowed: Collection[Day] | None) -> Mapping[Day, Load]:
        beside = self.place.home / "kafka-sinks" / self.sink.name
        with (
            hold(beside, self.place),
            open_sender(self._conf, self.topics, in_transaction=self.to.in_transaction) as sender,
        ):
            before = self.handed_on()
            new, sent = NewRows(source, before, allowed), dict[Day, Load]()
            for day, (added, removed) in new.files_by_day().items():
                count = sum(sender.send(row) for row in new.rows(added, removed))
                sent[day] = Load(source.table_id, source.version, source.commit, count, "")
            rows, dead = sum(load.rows for load in sent.values()), sender.dead
            if before:
                rows, dead = before.rows + rows, before.dead_letters + dead
            note = replace(new.handed_on, rows=rows, dead_letters=dead)
            if note != before:
                sender.finish(json.dumps(asdict(note)))
            return {day: load for day, load in sent.items() if load.rows}
