"""Accept on purpose that rows of bronze are gone for good. Needs no JVM.

Who accepted what, and why, is kept.

Readers of such a day are refused, because nobody should compute from what is left without knowing. Accepting writes
two things: the record, and a ledger entry that says of the day what its table holds, from no file. Readers find their
input changed and are computed without these rows; files that come back are files that have landed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from lake.batch.inputs import Loss
from lake.batch.survey import Survey
from lake.declare.days import ALL_DAYS, Day, Days
from lake.declare.table import Table
from lake.errors import CannotAcceptLoss
from lake.ownership.frontier import FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.ownership.passed_over import this_user
from lake.write.store import DeltaStore

__all__ = ["SCHEMA", "AcceptedLoss", "AcceptedLosses", "accept_loss"]


SCHEMA = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("day", pa.date32()),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("held", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("accepted_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("accepted_by", pa.string(), nullable=False),
    ]
)
"""Columns of `lake/accepted_losses`: the rows that a day had and those that it still holds; why, when and by whom."""


@dataclass(frozen=True)
class AcceptedLoss:
    """A day whose loss was accepted.

    Attributes:
        table: `layer.name`.
        day: the day; None is the whole table.
        rows: how many it had, by the ledger.
        held: how many of them its table still held.
        reason: why, in the words of who accepted it.
        accepted_at: when, UTC.
        accepted_by: user and host.
    """

    table: str
    day: Day
    rows: int
    held: int
    reason: str
    accepted_at: datetime
    accepted_by: str

    def __str__(self) -> str:
        by = f"on {self.accepted_at:%Y-%m-%d %H:%M} by {self.accepted_by}"
        return f"{self.rows - self.held:,} of {self.rows:,} rows, {by}: {self.reason}"


@dataclass(frozen=True)
class AcceptedLosses:
    """The record of one lake."""

    store: DeltaStore

    def all(self) -> list[AcceptedLoss]:
        """Read what was accepted, in order of time."""
        stored = self.store.rows_in_lake("accepted_losses")
        rows = [] if stored is None else stored.to_pylist()
        return sorted((AcceptedLoss(**row) for row in rows), key=lambda one: (one.accepted_at, str(one.day)))

    def add(self, losses: Sequence[AcceptedLoss]) -> None:
        """Write down losses, in one commit."""
        rows = [asdict(one) for one in losses]
        self.store.append_to_lake("accepted_losses", lambda _: pa.Table.from_pylist(rows, schema=SCHEMA))


def accept_loss(table: Table, store: DeltaStore, days: Days | None, reason: str) -> list[AcceptedLoss]:
    """Accept that lost days are lost for good.

    Who asks twice is answered the same.

    Args:
        table: a table of bronze.
        store: where it is.
        days: the days; whatever they say, a table without days is taken whole.
        reason: why the rows are gone for good.

    Raises:
        CannotAcceptLoss: nothing of these days is lost, or nobody named days or a reason.
        DayIsOpen: streams own one of the days.
    """
    wanted = days if table.day else None
    if not reason.strip():
        raise CannotAcceptLoss(table.full_name, "the reason is empty", 'say why, as --accept-loss "the disk burnt"')
    if table.day and wanted is None:
        raise CannotAcceptLoss(table.full_name, "no days were named", "name them, as --days A..B")
    with store.lock(table.full_name):
        frontier = FrontierTable(store).state()
        if frontier is not None and wanted is not None:
            frontier.refuse_open(table, wanted)
        state = Survey([table], store, ALL_DAYS).states[table.full_name]
        lost = {day: loss for day, loss in state.lost.items() if _is_named(day, wanted)}
        if not lost:
            return _accepted_before(table, store, wanted)
        losses = _described(table, lost, reason)
        AcceptedLosses(store).add(losses)  # first: what is accepted without a record, nobody would ever see
        Ledger(store).record(_as_held(table, store, state.entries[day], loss) for day, loss in lost.items())
    return losses


def _is_named(day: Day, wanted: Days | None) -> bool:
    return day is None or (wanted is not None and day in wanted)


def _accepted_before(table: Table, store: DeltaStore, wanted: Days | None) -> list[AcceptedLoss]:
    known = AcceptedLosses(store).all()
    found = [one for one in known if one.table == table.full_name and _is_named(one.day, wanted)]
    if not found:
        problem = "a day is lost where bronze holds fewer rows than the ledger says and their files are gone; none is"
        remedy = f"lakehouse status {table.full_name} shows which days are lost; lakehouse refresh computes the others"
        raise CannotAcceptLoss(table.full_name, problem, remedy)
    return found


def _described(table: Table, lost: Mapping[Day, Loss], reason: str) -> list[AcceptedLoss]:
    now, by = datetime.now(UTC), this_user()
    return [AcceptedLoss(table.full_name, day, *loss, reason.strip(), now, by) for day, loss in lost.items()]


def _as_held(table: Table, store: DeltaStore, entry: Entry, loss: Loss) -> Entry:
    """Return an entry by which a day is as it is, from no file."""
    version, own = store.version(table), store.table_log(table).table_id()
    feeds = {f"feed:{feed.name}": None for feed in table.feeds}
    return replace(
        entry,
        outcome="unchanged",
        rows_in=loss.held + entry.rejected + entry.duplicates,
        rows_out=loss.held,
        inputs={**entry.inputs, **feeds},
        version=-1 if version is None else version,
        table_ids={} if own is None else {table.full_name: own},
        run_id="loss accepted",
        recorded_at=datetime.now(UTC),
    )
