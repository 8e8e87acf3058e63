"""Generations: when a table's stream begins anew, and where its checkpoint lies.

A claim of open days, a lost checkpoint and a changed stateful plan each begin a new generation, whose first micro-batch
reads all open days and replaces them. Its readers begin anew too: they pass over a commit that replaces. The generation
is committed to the frontier before its checkpoint folder exists, so that a crash in between begins one more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from pyspark.sql import DataFrame, SparkSession

from lake.declare.across_days import refuse_across_days
from lake.declare.days import utc_day
from lake.declare.feed import Feed
from lake.declare.plan_text import analyzed_plan
from lake.declare.table import Table, stream_reads
from lake.declare.topic_source import TopicSource
from lake.engine.failpoints import failpoint
from lake.errors import DayAhead
from lake.ownership.frontier import Frontier, FrontierTable, sealable_before
from lake.storage.archive import TopicArchive
from lake.storage.landed_files import is_same_mark
from lake.storage.store_path import AnyPath, remove_tree, write_text
from lake.write.store import DeltaStore, Txn

__all__ = [
    "DELIVERED",
    "Checkpoints",
    "StreamPlan",
    "begin_generations",
    "is_new",
    "noted_table",
    "plan_stream",
    "step_txn",
]

_EXPRESSION_IDS = re.compile(r"#\d+L?|plan_id=\d+|lambda_\d+|_gen_alias_\d+|@[0-9a-f]+")
"""What differs from session to session in a plan's text."""
_AGGREGATE = re.compile(r"^[\s:+-]*(Aggregate|Deduplicate|FlatMapGroups)", re.MULTILINE)
_JOIN = re.compile(r"^[\s:+-]*Join", re.MULTILINE)
_MARKER = "generation"
_TABLE = "table_id"
DELIVERED = "delivered.json"
"""What the stream of a bronze table was given, beside its checkpoints."""


@dataclass(frozen=True)
class StreamPlan:
    """The way in which a table runs as a stream.

    It follows from the table's declaration alone.

    Attributes:
        table: the table.
        is_stateful: whether its query keeps state between micro-batches.
        output_mode: update where it aggregates (each change of a group is a row), else append.
        fingerprint: hash of what a checkpoint's state depends on; literal days are not in it.
    """

    table: Table
    is_stateful: bool
    output_mode: str
    fingerprint: str


def plan_stream(table: Table, spark: SparkSession) -> StreamPlan:
    """Analyze the transform on empty frames, without running a job.

    Raises:
        DeclarationError: the transform lets rows of one day see those of others.
    """
    refuse_across_days(table, spark)
    frames = [_empty(spark, read.source) for read in table.reads]
    plan = _EXPRESSION_IDS.sub("", analyzed_plan(table(*frames)))
    aggregates = bool(_AGGREGATE.search(plan))
    sources = [read.source for read in stream_reads(table)]
    is_stateful = aggregates or (len(sources) > 1 and bool(_JOIN.search(plan)))
    marks = [(s.full_name, s.event_time, str(s.lateness)) for s in sources if isinstance(s, Table)]
    # A checkpoint numbers its sources as they come in the plan.
    text = repr((plan, marks)) if is_stateful or len(sources) > 1 else "stateless"
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]
    return StreamPlan(table, is_stateful, "update" if aggregates else "append", fingerprint)


def _empty(spark: SparkSession, source: Table | Feed) -> DataFrame:
    return spark.createDataFrame([], source.schema)


def step_txn(table: Table, step: str, generation: int, batch_id: int) -> Txn:
    """Return the transaction id of one step of a micro-batch.

    Every step needs its own, because of two writes under one id the second is silently skipped.
    """
    return Txn(f"follow/{table.full_name}/{step}/{generation}", batch_id)


def is_new(checkpoint: AnyPath) -> bool:
    """Ask whether a query has not begun its first micro-batch."""
    return not any((checkpoint / "offsets").glob("[0-9]*"))


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint folders: beside the tables, never inside."""

    root: AnyPath

    def folder(self, plan: StreamPlan, generation: int) -> AnyPath:
        """Return the checkpoint folder of one generation."""
        return self.root / plan.table.layer / plan.table.name / f"g{generation}-{plan.fingerprint}"

    def is_lost(self, plan: StreamPlan, generation: int, store: DeltaStore) -> bool:
        """Tell whether a begun generation has no checkpoint to go on from."""
        folder = self.folder(plan, generation)
        if not (folder / _MARKER).is_file():
            return True
        if (noted := noted_table(folder)) is not None:
            log, (made, version) = store.table_log(plan.table), noted
            newest = log.version() or 0
            # A table that was made anew holds no row of the stream, and one that was restored, by RESTORE or from a
            # backup, not all of them.
            if made != log.table_id() or newest < version or log.restored(version, newest) is not None:
                return True
        return is_new(folder) and store.is_committed(
            store.path(plan.table), step_txn(plan.table, "write", generation, 0)
        )

    def note_delivered(self, table: Table, marks: Mapping[str, str]) -> bool:
        """Remember what a bronze table's stream has been given.

        Returns:
            True if some of it has changed since it was read.
        """
        file = self.root / table.layer / table.name / DELIVERED
        seen: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
        if any(name in marks and not is_same_mark(mark, marks[name]) for name, mark in seen.items()):
            return True
        if marks.keys() - seen.keys() and file.parent.is_dir():
            write_text(file, json.dumps({**marks, **seen}))
        return False

    def note_table(self, plan: StreamPlan, generation: int, store: DeltaStore) -> None:
        """Note which table a generation writes, by id and present version.

        One that was made anew under the same name is empty; one that was restored later lacks rows.
        """
        log = store.table_log(plan.table)
        version = log.version()
        self.note_seen(plan, generation, (log.table_id(), -1 if version is None else version))

    def note_seen(self, plan: StreamPlan, generation: int, seen: tuple[str | None, int]) -> None:
        """Note up to which version the table was seen to grow, by its id."""
        folder, (name, version) = self.folder(plan, generation), seen
        if name is not None and noted_table(folder) != (name, version):
            write_text(folder / _TABLE, f"{name} {version}\n")

    def create(self, plan: StreamPlan, generation: int) -> None:
        """Create the folder of a new generation and remove those before it."""
        folder = self.folder(plan, generation)
        remove_tree(folder.parent)
        write_text(folder / _MARKER, f"{plan.table.full_name} {generation}\n")


def noted_table(checkpoint: AnyPath) -> tuple[str, int] | None:
    """Read which table a generation writes, and the version looked at last.

    None where an older release noted nothing.
    """
    file = checkpoint / _TABLE
    if not file.is_file():
        return None
    name, version = file.read_text().split()
    return name, int(version)


def begin_generations(
    frontier: FrontierTable,
    plans: Sequence[StreamPlan],
    checkpoints: Checkpoints,
    *,
    asked: Collection[str] = (),
    since: date | None = None,
    earliest: date = date.min,
    source: TopicSource | None = None,
    now: datetime,
) -> Frontier:
    """Claim the open days of these tables and begin due generations.

    Args:
        frontier: the frontier's table.
        plans: the tables to follow, upstream first.
        checkpoints: where checkpoints lie.
        asked: tables (`layer.name`) that shall begin anew whatever their checkpoint says.
        since: where nothing is claimed yet, the first landing day to follow and the first open day; by default both
            follow from what bronze and silver hold.
        earliest: without `since`, no landing day before this one is followed.
        source: whose first message is the first to follow where bronze is empty; by default the landing folder.
        now: the clock; nothing is claimed after its day, which is the first of a lake in which nothing has landed yet.

    Raises:
        DayAhead: `since` lies after the clock; nothing was claimed.
    """
    store, tables = frontier.store, [plan.table for plan in plans]
    first = _FirstDay(store, source or TopicArchive(store.landing), since, earliest, now)
    due: set[str] = set()
    if since is not None and since > utc_day(now):
        raise DayAhead(since, utc_day(now))

    def step(before: Frontier | None) -> Frontier:
        claimed = before.claimed if before else frozenset()
        base = before if before is not None and claimed else _claim(before, tables, first)
        due.update(_due(base, claimed, plans, checkpoints, store, asked))
        generations = {**base.generations, **{name: base.generations.get(name, 0) + 1 for name in due}}
        names = frozenset(table.full_name for table in tables)
        return replace(base, claimed=claimed | names, generations=generations)

    state = frontier.change(step, "follow")
    failpoint("after_claim")
    for plan in plans:
        if plan.table.full_name in due:
            checkpoints.create(plan, state.generations[plan.table.full_name])
    return state


@dataclass(frozen=True)
class _FirstDay:
    """Find the first day to follow.

    The attributes are arguments of `begin_generations`.
    """

    store: DeltaStore
    source: TopicSource
    since: date | None
    earliest: date
    now: datetime

    def to_follow(self, tables: Iterable[Table]) -> date:
        """Find the first landing day that comes from the stream."""
        if self.since is not None:
            return self.since
        today = utc_day(self.now)
        return max(self.earliest, min((self._of_bronze(t, today) for t in tables if _is_bronze(t)), default=today))

    def _of_bronze(self, table: Table, today: date) -> date:
        """Find the first day of one bronze table.

        It is the newest landing day that bronze holds, because bronze may hold a part of it only; else the first that
        landed. Days after the clock do not count: an older release may have kept messages that were sent on them.
        """
        assert table.day is not None
        if held := [day for day in self.store.table_log(table).days(table.day) if day <= today]:
            return max(held)
        landed = [self.source.first_day(topic) for topic in table.topics]
        return min((day for day in landed if day is not None and day <= today), default=today)


def _claim(before: Frontier | None, tables: Sequence[Table], first: _FirstDay) -> Frontier:
    """Return the frontier at the moment at which streams take over from batch."""
    stream_from = first.to_follow(tables)
    first_open = first.since or sealable_before(tables, first.store, now=first.now) or stream_from
    if before is None:
        return Frontier(stream_from, first_open)
    return replace(before, stream_from=stream_from, first_open=max(before.first_open, first_open), closing=None)


def _is_bronze(table: Table) -> bool:
    return table.write.keeps_everything


def _due(
    state: Frontier,
    claimed: Collection[str],
    plans: Sequence[StreamPlan],
    checkpoints: Checkpoints,
    store: DeltaStore,
    asked: Collection[str],
) -> set[str]:
    """Return the tables whose stream begins anew."""
    due: dict[str, bool] = {}
    for plan in plans:
        name = plan.table.full_name
        generation = state.generations.get(name, 0)
        begins = name not in claimed or name in asked or checkpoints.is_lost(plan, generation, store)
        due[name] = begins or _follows_replaced(plan.table, due)
    return {name for name, begins in due.items() if begins}


def _follows_replaced(table: Table, due: Mapping[str, bool]) -> bool:
    """Tell whether an input's first micro-batch will replace its days.

    Bronze only ever adds.
    """
    sources = [read.source for read in stream_reads(table)]
    return any(due.get(s.full_name) for s in sources if isinstance(s, Table) and not _is_bronze(s))
