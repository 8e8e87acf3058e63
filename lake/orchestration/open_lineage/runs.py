"""Tell of the runs of tables: that one began, and how it ended.

The events themselves are made in the thread that sends, which imports the client of OpenLineage, so that a run neither
waits for it nor needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid5

import dagster as dg

from lake.batch.refresh import Receipt
from lake.declare.column_lineage import ColumnLineage
from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import LakeError
from lake.orchestration.open_lineage.sending import receiver_of, sender_to
from lake.orchestration.partitions import days_of_run
from lake.project.known_lineage import known_lineage
from lake.project.settings import Settings
from lake.storage.commits import Commit
from lake.write.store import DeltaStore

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

__all__ = ["State", "TableRun", "Told", "Written", "tell_checks", "tell_commits", "telling"]

State = Literal["START", "RUNNING", "COMPLETE", "FAIL", "ABORT"]


@dataclass(frozen=True)
class TableRun:
    """One run of one table, as far as it is known when it begins.

    Attributes:
        settings: of the environment.
        table: what is computed.
        origin: the run of Dagster; of a stream Delta's id of its table.
        job: of that run; None of a stream, which has none.
        attempt: how often this step was tried before; of a stream its generation.
        days: that it was asked for.
        suffix: names what is done with the table, where that is not to compute it once.
    """

    settings: Settings
    table: Table
    origin: str
    job: str | None
    attempt: int
    days: Days | None
    suffix: str = ""

    @property
    def name(self) -> str:
        """The name of the job."""
        return f"{self.table.full_name}{self.suffix}"

    @property
    def id(self) -> str:
        """The run's id, which follows from where it comes."""
        return str(uuid5(UUID(self.origin), f"{self.name} {self.attempt}"))

    @classmethod
    def of(cls, settings: Settings, table: Table, run: dg.DagsterRun, attempt: int, suffix: str = "") -> TableRun:
        """Name the run of a table in a run of Dagster."""
        days = days_of_run(run.tags) if table.day else None
        return cls(settings, table, run.run_id, run.job_name, attempt, days, suffix)


@dataclass(frozen=True)
class Written:
    """Count what a run wrote into a table.

    Attributes:
        version: of the table after it; None where nothing was ever written.
        rows: how many, without those of days that were found as they are.
        size: bytes of their files; None where nobody has counted them.
    """

    version: int | None
    rows: int
    size: int | None = None


@dataclass
class Told:
    """Collect what a run says of itself before it ends.

    Attributes:
        is_heard: whether anybody listens.
        written: what it has written.
        versions: of the tables that it read, by `layer.table`.
        lineage: of the columns.
        ids: Delta's ids of the table and of those that it reads, by `layer.table`.
        error: why it failed.
    """

    is_heard: bool = True
    written: Written | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    lineage: ColumnLineage | None = None
    ids: dict[str, str | None] = field(default_factory=dict)
    error: str | None = None

    def note(self, table: Table, store: DeltaStore, receipt: Receipt, lineage: ColumnLineage | None) -> None:
        """Note what was written."""
        if self.is_heard:
            written = (count for day, count in receipt.counts.items() if receipt.outcomes[day] == "written")
            self.written = Written(receipt.version, sum(count.rows_out for count in written))
            self.versions, self.lineage = receipt.inputs, lineage
            self.ids = {one.full_name: store.table_log(one).table_id() for one in (table, *table.inputs)}


@contextmanager
def telling(settings: Settings, table: Table, run: dg.DagsterRun, attempt: int) -> Iterator[Told]:
    """Tell that a run of a table begins, and how it ends."""
    receiver = receiver_of(settings)
    if receiver is None:
        yield Told(is_heard=False)
        return
    mine, told, send = TableRun.of(settings, table, run, attempt), Told(), sender_to(receiver).send
    send(_events(mine, "START", Told()))
    try:
        yield told
    except BaseException as error:
        told.error = _said_of(error)
        send(_events(mine, "FAIL" if isinstance(error, Exception) else "ABORT", told))
        raise
    send(_events(mine, "COMPLETE", told))


def _events(run: TableRun, state: State, told: Told, at: datetime | None = None) -> Callable[[], list[RunEvent]]:
    """Make the event of a moment later, in the thread that sends it.

    The moment is now unless it is given.
    """
    now = at or datetime.now(UTC)

    def made() -> list[RunEvent]:
        from lake.orchestration.open_lineage.events import run_event

        return [run_event(run, state, now, told)]

    return made


def _said_of(error: BaseException) -> str:
    """Say why a run failed.

    Of an error that nobody has foreseen only its kind, because its text may hold rows.
    """
    cause = error.__cause__ if isinstance(error.__cause__, LakeError) else error
    if isinstance(cause, dg.Failure):
        return cause.description or "failed"
    return str(cause) if isinstance(cause, LakeError) else type(error).__name__


def tell_checks(settings: Settings, table: Table, run: dg.DagsterRun, results: Sequence[dg.AssetCheckResult]) -> None:
    """Tell what the checks of a table found.

    It is told as a run of its own that reads the table.
    """
    receiver = receiver_of(settings)
    if receiver is None or not results:
        return
    mine, now = TableRun.of(settings, table, run, 0, ".checks"), datetime.now(UTC)

    def made() -> list[RunEvent]:
        from lake.orchestration.open_lineage.events import check_event

        return [check_event(mine, state, now, results) for state in ("START", "COMPLETE")]

    sender_to(receiver).send(made)


def tell_commits(settings: Settings, table: Table, store: DeltaStore, commits: Sequence[Commit]) -> None:
    """Tell what a stream has committed since the last time.

    It is told as news of a run that goes on as long as the generation of the stream.
    """
    receiver = receiver_of(settings) if commits else None
    table_id = store.table_log(table).table_id() if receiver else None
    if receiver is None or table_id is None:
        return
    newest = commits[-1]
    generation = int(newest.metadata.get("generation") or 0)
    mine = TableRun(settings, table, table_id, None, generation, None, ".stream")
    written = Written(newest.version, sum(one.rows for one in commits), sum(one.size for one in commits))
    told = Told(written=written, lineage=known_lineage(settings.home, table), ids={table.full_name: table_id})
    sender_to(receiver).send(_events(mine, "RUNNING", told, newest.committed_at))
