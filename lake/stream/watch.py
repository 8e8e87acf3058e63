"""Watch what running streams read and write: topics, landed files, and their own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lake.declare.feed import TopicFeed
from lake.declare.table import Table
from lake.declare.topic_source import TopicSource
from lake.errors import OtherMessage, TableRestored, TopicMissing, TopicReplaced, TopicShorter, TopicUnreachable
from lake.stream.generation import Checkpoints
from lake.stream.query import StreamQuery, first_lines
from lake.stream.topics import TopicGuard

__all__ = ["Watch"]


@dataclass(frozen=True)
class Watch:
    """Watch the sources and tables of running streams.

    Attributes:
        tables: what is followed.
        source: where topics are read from.
        topics: what looks after the topics.
        checkpoints: where it is noted what was seen.
    """

    tables: Sequence[Table]
    source: TopicSource
    topics: TopicGuard
    checkpoints: Checkpoints

    def note_delivered(self) -> list[str]:
        """Note what files were delivered.

        Returns the bronze tables that were given files which have changed since: their streams read everything again.
        """
        return [
            table.full_name
            for table in self.tables
            for read in table.reads
            if isinstance(read.source, TopicFeed)
            and self.checkpoints.note_delivered(table, self.source.delivered(read.source))
        ]

    @property
    def feeds(self) -> list[str]:
        """Name the feeds of all tables."""
        return [name for table in self.tables for name in _feeds(table)]

    def feeds_at_end(self, streams: Sequence[StreamQuery]) -> list[str]:
        """Name the feeds whose readers have read all that there is.

        None while a topic does not answer, because that is a stall.
        """
        if not self.topics_answer(streams):
            return []
        return [name for name in self.feeds if self._is_at_end(name, streams)]

    def topics_answer(self, streams: Sequence[StreamQuery]) -> bool:
        """Tell whether every topic answers.

        Raises where one is not what it was, and says so in its stream's status.
        """
        try:
            self.topics.watch()
        except (TopicUnreachable, TopicMissing):  # the queries wait for it, and say so when they give up
            return False
        except (TopicReplaced, TopicShorter, OtherMessage) as error:
            for stream in streams:
                if stream.name == error.table:
                    stream.status.state, stream.status.last_error = "failed", first_lines(error)
            raise
        return True

    def refuse_restored(self, streams: Sequence[StreamQuery]) -> None:
        """Raise where the table of a quiet stream was restored.

        A stream that has no news would not notice. Its status says so too.
        """
        for stream in streams:
            try:
                self.see_own(stream)
            except TableRestored as error:
                stream.status.state, stream.status.last_error = "failed", first_lines(error)
                raise

    def see_own(self, stream: StreamQuery) -> None:
        """Look at the table of a stream and note how far it has grown.

        An older copy may take its place later.
        """
        own = stream.writer.own
        if own is not None:
            own.refuse_changed()
            assert own.seen is not None
            self.checkpoints.note_seen(stream.plan, stream.writer.generation, own.seen)

    def _is_at_end(self, feed: str, streams: Sequence[StreamQuery]) -> bool:
        """Tell whether every query that reads a feed is idle.

        One that asks its source for news is not, because Spark keeps the last status meanwhile.
        """
        readers = [s.query for s in streams if feed in _feeds(s.plan.table)]
        said = [query.status if query is not None else {} for query in readers]
        return all(now and not (now["isDataAvailable"] or now["isTriggerActive"]) for now in said)


def _feeds(table: Table) -> list[str]:
    return [feed.name for feed in table.topics]
