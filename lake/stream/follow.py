"""Follow: run tables as streams, from the same declarations as batch.

One process, one query per table. Every transform runs unchanged: only the edges differ, which read as a stream, add the
declared watermarks and write each micro-batch. Queries start upstream first, each after its inputs have written what
they can, so that the first micro-batch of a generation sees all open days at once.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from lake.declare.days import ALL_DAYS, Days
from lake.declare.table import Table, can_be_early, is_followable
from lake.declare.topic_source import Place, TopicSource
from lake.engine.session import STREAM_CONF
from lake.engine.settings_meanwhile import set_all
from lake.errors import NotAStream, StreamBroken
from lake.ownership.frontier import Frontier, FrontierTable, seal_pending, with_streamed_upstream
from lake.ownership.shared_lease import shared_lease
from lake.storage.archive import TopicArchive
from lake.storage.lease import lease
from lake.storage.store_path import AnyPath
from lake.stream.driver import Driver, Followed
from lake.stream.early import Early, nothing_early
from lake.stream.micro_batch import always
from lake.stream.progress import MicroBatch
from lake.stream.query import first_lines
from lake.write.store import DeltaStore
from lake.write.store_places import tell_on_stderr

__all__ = ["follow", "refuse_batch_only", "release"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def follow(
    tables: Iterable[Table],
    store: DeltaStore,
    frontier: FrontierTable,
    *,
    home: Path,
    checkpoints: AnyPath | None = None,
    source: TopicSource | None = None,
    until_idle: bool = False,
    stop: threading.Event | None = None,
    new_generation: Collection[str] = (),
    accept_loss: Collection[str] = (),
    passing: Collection[Place] = (),
    since: date | None = None,
    now: Callable[[], datetime] = _utc_now,
    calendar: Days = ALL_DAYS,
    tell: Callable[[str], None] = tell_on_stderr,
    on_receipt: Callable[[MicroBatch], None] | None = None,
    early: Early | None = None,
) -> Followed:
    """Run these tables as streams and seal days that are over.

    Every table that they read as a stream runs too.

    Args:
        tables: what to follow.
        store: where the tables are.
        frontier: who owns a day. Days that nobody claimed before are claimed.
        home: the status of each query goes to `home/streams`.
        checkpoints: folder of the queries' checkpoints, here or in an object store; `home/checkpoints` if none.
        source: where topics are read from; by default the archives in the landing folder.
        until_idle: read what there is and return; else run until `stop` is set.
        stop: set it to end after the running micro-batches.
        new_generation: tables (`layer.name`) that begin anew from their inputs' open days; for damaged checkpoints.
        accept_loss: bronze tables that have lost messages for good; they begin anew from what their topics still hold.
        passing: places of messages that Spark refuses to read; they are passed over from now on.
        since: on the first claim, the first landing day and open day to follow; by default what has landed decides:
            where bronze is empty, the first message.
        now: the clock: what is later is rejected, seals no day, and a silent feed is idle by it.
        calendar: the days that tables can have, those to come included; rows of others are rejected, and without
            `since` no earlier landing day is followed.
        tell: told on the first claim of messages that are not read.
        on_receipt: told of every finished micro-batch, from the query's thread.
        early: batch-only tables whose open days are computed early, beside the streams that these depend on.

    Raises:
        NotAStream: a table runs in batch only.
        DayAhead: `since` has not come.
        AlreadyFollowed: another process runs the streams.
        LeaseLost: the lease of a lake on an object store was not renewed in time.
        TopicReplaced, TopicShorter, OtherMessage, MessagesGone: a topic is not what it was; nothing was started.
        BronzeLost: a bronze table is gone, and so is what it came from; nothing was started.
        TopicMissing, TopicUnreachable: it is not there, or its cluster does not answer; nothing was started.
        InputRestored, TableRestored: a table was restored or made anew while it was followed.
        StreamBroken: a query stopped with an error; all others were stopped after their running micro-batches.
    """
    followed = _followable(tables)
    with _own_files(home), lease(store.locks), shared_lease(store) as shared:
        _configure(store)
        driver = Driver(
            frontier,
            followed,
            home,
            source or TopicArchive(store.landing),
            stop or threading.Event(),
            now,
            on_receipt,
            may_write=always if shared is None else shared.check,
            calendar=calendar,
            tell=tell,
            checkpoint_folder=checkpoints,
            early=early or nothing_early(),
        )
        with driver.queries(new_generation, accept_loss, passing, since):
            driver.drain(until_idle=until_idle)
            if until_idle:
                driver.compute_early()
            elif not driver.asked_to_stop.is_set():
                driver.run()
        return driver.followed()


def release(frontier: FrontierTable) -> Frontier | None:
    """Hand every day back to batch.

    The next `follow` claims what is open then, and begins anew.

    Raises:
        AlreadyFollowed: a process runs the streams.
    """
    with lease(frontier.store.locks), shared_lease(frontier.store):
        state = seal_pending(frontier)
        if state is None:
            return None
        return frontier.change(lambda now: replace(now or state, claimed=frozenset()), "release")


@contextmanager
def _own_files(home: Path) -> Iterator[None]:
    """Tell of a full disk alike, whichever process finds no room.

    It may be a query, or this process with its marks, claims and statuses.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise StreamBroken("all tables", first_lines(error), str(home)) from error


def _followable(tables: Iterable[Table]) -> list[Table]:
    asked = list(tables)
    refuse_batch_only(asked, known=asked)
    return with_streamed_upstream(asked)


def refuse_batch_only(tables: Sequence[Table], *, known: Iterable[Table]) -> None:
    """Raise where a table cannot run as a stream, or where there is none.

    Raises:
        NotAStream: it names those that can, among all known ones.
    """
    batch_only = next((table.full_name for table in tables if not is_followable(table)), "")
    if batch_only or not tables:
        can = (one.full_name for one in known if is_followable(one) or can_be_early(one))
        raise NotAStream(batch_only, [name for name in can if name != batch_only])


def _configure(store: DeltaStore) -> None:
    set_all(store.spark, STREAM_CONF)
