"""Open the settings, tables and store that a command works on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import SparkSession

from lake.batch.survey import Survey
from lake.declare.broken_files import BrokenFile
from lake.declare.days import Days
from lake.declare.delta_feed import DeltaFeed
from lake.declare.feed import Feed
from lake.declare.graph import feeds_of
from lake.declare.sink import Sink
from lake.declare.table import LAYERS, Table
from lake.engine.compiling import Work
from lake.errors import UnknownFeed, UnknownSink, UnknownTable
from lake.ownership.ledger import Ledger
from lake.project.opening import open_sinks, open_store, open_tables, s3_of, start_session_beside
from lake.project.settings import Settings
from lake.serve.target import Place
from lake.storage.unread import Unread, find_unread
from lake.stream.kafka import local_cluster
from lake.write.store import DeltaStore

__all__ = ["Environment", "open_environment", "place_of", "take_left_out"]


@dataclass(frozen=True)
class Environment:
    """Hold settings, tables (upstream first), store, the broken files, and sinks."""

    settings: Settings
    tables: Mapping[str, Table]
    store: DeltaStore
    broken: Sequence[BrokenFile] = ()
    sinks: Mapping[str, Sink] = field(default_factory=dict)

    def choose_sinks(self, names: Sequence[str]) -> list[Sink]:
        """Return the sinks of these names, or all if none are given.

        A name is `serving.name` or `name`.

        Raises:
            UnknownSink: no sink has the name.
            DeclarationError: the file of that sink is broken.
        """
        wanted = [name.strip().replace("/", ".").rpartition(".")[2] for name in names]
        for broken in self.broken:
            if broken.table.rpartition(".")[2] in wanted:
                raise broken.error
        known = {one.name: one for one in self.sinks.values()}
        for name in wanted:
            if name not in known:
                raise UnknownSink(name, list(self.sinks))
        return [one for one in known.values() if not names or one.name in wanted]

    @property
    def place(self) -> Place:
        """The place in which the destinations of sinks lie."""
        return place_of(self.settings)

    def choose(self, names: Sequence[str]) -> list[Table]:
        """Return the tables that these names mean, upstream first.

        A name is `layer.name`, a layer, or an unambiguous name of a table. No names mean all tables.

        Raises:
            UnknownTable: no table, or more than one, has the name.
            DeclarationError: the file of that table is broken.
        """
        chosen = {found for name in names for found in self._matching(name)}
        return [table for key, table in self.tables.items() if not names or key in chosen]

    def table(self, name: str) -> Table:
        """Return the one table that a name means.

        Raises:
            UnknownTable: no table, or more than one, has the name.
        """
        found = self.choose([name])
        if len(found) != 1:
            raise UnknownTable(name, [table.full_name for table in found], "a layer; name one of its tables")
        return found[0]

    def _matching(self, name: str) -> list[str]:
        wanted = name.strip().replace("/", ".")
        if wanted in LAYERS:
            return [key for key, table in self.tables.items() if table.layer == wanted]
        for broken in self.broken:
            if wanted in (broken.table, broken.table.rpartition(".")[2]):
                raise broken.error
        found = [key for key, table in self.tables.items() if wanted in (key, table.name)]
        if len(found) != 1:
            raise UnknownTable(name, list(self.tables))
        return found

    @property
    def feeds(self) -> dict[str, Feed]:
        """The feeds that tables read, by name."""
        return {feed.name: feed for feed in feeds_of(self.tables.values())}

    def feed(self, name: str) -> Feed:
        """Find the feed of a name.

        Raises:
            UnknownFeed: no table reads one.
        """
        if name not in self.feeds:
            raise UnknownFeed(name, list(self.feeds))
        return self.feeds[name]

    def survey(self) -> Survey:
        """Look at the whole lake: what is missing, what is stale."""
        return Survey(list(self.tables.values()), self.store, self.settings.calendar())

    def unread(self) -> list[Unread]:
        """Find what has landed and no table will read."""
        by_day = [name for name, feed in self.feeds.items() if feed.pattern is None]
        others = {feed.table for feed in self.feeds.values() if isinstance(feed, DeltaFeed)}
        patterns = [feed.pattern for feed in self.feeds.values() if feed.pattern is not None]
        found = find_unread(self.store.landing.reach(), by_day, self.settings.calendar(), patterns)
        return [one for one in found if not any(Path(table).is_relative_to(one.path) for table in others)]

    def refuse_short_calendar(self) -> None:
        """Raise where tables hold days that the calendar does not have.

        Raises:
            BadSetting: they do; it names the variable.
        """
        ledger = Ledger(self.store).latest_by_table()
        dated = [days for name in self.tables if (days := [*filter(None, ledger.get(name, ()))])]
        held = [end(days) for days in dated for end in (min, max)]
        if held:
            self.settings.refuse_days_outside(Days.between(min(held), max(held)))

    def start_spark_beside(self, work: Callable[[], Work]) -> None:
        """Start Spark in a thread, unless it runs.

        Code that needs the session waits for it, or meets its error.

        Args:
            work: tells how much this process computes.
        """
        if SparkSession.getActiveSession() is None:
            start_session_beside(self.settings, work())


def place_of(settings: Settings) -> Place:
    """The place in which the destinations of sinks lie."""
    kafka = settings.kafka or local_cluster(settings.kafka_folder)
    s3 = s3_of(settings, settings.tables)
    return Place(
        settings.home,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        kafka=kafka,
        iceberg=s3.iceberg if s3 else {},
    )


def open_environment(settings: Settings | None = None) -> Environment:
    """Open the environment of this process, without a JVM.

    Says on standard error which tables are left out, and why.
    """
    chosen = settings or Settings.from_env()
    tables, broken = open_tables(chosen)
    sinks, others = open_sinks(chosen)
    broken = [*broken, *(one for one in others if one.table not in {known.table for known in broken})]
    for one in broken:
        print(f"error: {one}", file=sys.stderr, flush=True)
    _left_out.extend(broken)
    return Environment(chosen, tables, open_store(chosen), broken, sinks)


_left_out: list[BrokenFile] = []


def take_left_out() -> list[BrokenFile]:
    """Return the broken files left out since this was last called.

    A command does the rest of its work, and then ends with 1.
    """
    taken = _left_out.copy()
    _left_out.clear()
    return taken
