"""Refresh: compute some days of a table in batch and replace exactly those days.

read inputs -> transform -> enforce contract -> write -> receipt. A crash at any point is repaired by running the same
refresh again. A clean refresh is one Spark job; only rows that were dropped cost more, to say which and why.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from lake.batch.day_alone import differing_rows
from lake.batch.grown import CALENDAR
from lake.batch.inputs import Inputs, Way, pin_inputs, split_days
from lake.batch.rejected import rejected_rules
from lake.declare.across_days import refuse_across_days
from lake.declare.days import Days
from lake.declare.feed import Feed
from lake.declare.table import Read, Table
from lake.engine.failpoints import failpoint
from lake.errors import (
    ContractBroken,
    DeclarationError,
    FilesGone,
    LakeError,
    LandingDamaged,
    RowsLost,
    RowsOutsideDays,
    RowsWithoutDay,
    WrittenMeanwhile,
)
from lake.ownership.frontier import FrontierTable
from lake.ownership.ledger import Entry, Ledger, Outcome
from lake.storage.commits import Commit
from lake.storage.landing import Landing
from lake.write.enforce import NO_DAY, NOTHING_DROPPED, Counts, Enforced, day_within, enforce
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["Receipt", "refresh"]

_TRIES = 3
"""Each begins anew with the newest inputs, and asks again who owns the days."""
_MOST_COLLECTED = 50_000
_Finder = Callable[[Landing, Feed, Iterable[date]], dict[date, dict[str, str]]]
"""More dropped rows than this are counted and written by Spark; so many fit in this process, which is faster."""


@dataclass(frozen=True)
class Receipt:
    """The outcome of one refresh.

    Attributes:
        table: `layer.table`.
        days: the days asked for; None for a table without days.
        counts: counts by day (the only key is None for a table without days). Failed days are in it, with 0 rows out.
        outcomes: what became of each day.
        rules: rejected rows by rule.
        inputs: versions read, by `layer.table`; marks of landing files, by `feed:name`, day and name.
        version: version of the table after the refresh; None where nothing was ever written.
        code_version: hash of the declaring file.
        seconds: how long it took.
        damaged: landing days that were not written since their files cannot be read; they are in `failed_days`.
    """

    table: str
    days: Days | None
    counts: Mapping[date | None, Counts]
    outcomes: Mapping[date | None, Outcome]
    rules: Mapping[str, int]
    inputs: Mapping[str, Any]
    version: int | None
    code_version: str
    seconds: float
    damaged: LandingDamaged | None = None

    @property
    def total(self) -> Counts:
        """Counts over all days."""
        return sum(self.counts.values(), Counts())

    @property
    def failed_days(self) -> list[date | None]:
        """Days that were not written, in order.

        They broke a `fail` contract, or their files cannot be read.
        """
        return sorted((day for day, outcome in self.outcomes.items() if outcome == "failed"), key=str)

    def check(self) -> Receipt:
        """Return the receipt itself.

        Raises:
            LandingDamaged: files of some days cannot be read, so these days were not written.
            ContractBroken: some days were not written.
        """
        for problem in self.problems:
            raise problem
        return self

    @property
    def problems(self) -> list[LakeError]:
        """Why days were not written."""
        unreadable = self.damaged.days if self.damaged else ()
        broken = [day for day in self.failed_days if day not in unreadable]
        rejected = {day or "the whole table": self.counts[day].rejected for day in broken}
        found: list[LakeError] = [self.damaged] if self.damaged else []
        return [*found, ContractBroken(self.table, rejected, dict(self.rules))] if broken else found


@dataclass
class _Work:
    """A refresh under way.

    `base` is the table's version at which the refresh asked who owns the days, `way` how rows of its days are written,
    `followed` whether the process that runs streams asks for it.
    """

    table: Table
    store: DeltaStore
    days: Days | None
    pinned: Inputs
    run_id: str
    horizon: Horizon
    base: int | None
    way: Way = "replace"
    followed: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def ranges(self) -> list[Days] | None:
        return None if self.days is None else Days.ranges(self.table.own_days(self.days))

    @property
    def all_days(self) -> list[date | None]:
        return [None] if self.days is None else list(self.table.own_days(self.days))

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.pinned.read


def refresh(
    table: Table,
    store: DeltaStore,
    days: Days | None,
    *,
    unless_equal: bool = False,
    run_id: str = "",
    horizon: Horizon | None = None,
    followed: bool = False,
) -> Receipt:
    """Compute days of a table from the newest inputs and replace exactly them.

    Args:
        table: what to compute. One without days is computed whole, whatever `days` says.
        store: where the tables are.
        days: the days to replace; of a table of weeks or months, any day of them.
        unless_equal: compare with what is stored and commit only the days that differ (for repairs): downstream tables
            are then not made stale for nothing. Costs a second pass.
        run_id: recorded with the receipt.
        horizon: which times are believed; by default those up to the wall's clock.
        followed: whether the process that runs streams asks for it; the commit says so.

    Returns:
        The receipt; days of a `fail` table that broke the contract are in `failed_days` and were not written.

    Raises:
        DayIsOpen: streams own one of the days; nothing was written.
        DeclarationError: the transform lets rows of one day see those of others; nothing was written.
        LandingGone: the files of a landing day are gone, and its rows would go with them; nothing was written.
        InputLost: an input holds fewer rows than the ledger says; nothing was written.
        RowsOutsideDays: the transform gave rows of other days; nothing was written.
        RowsWithoutDay: the transform gave rows without a day; nothing was written.
        RowsLost: the rows cannot be accounted for; no receipt was written, so the days stay missing or stale.
        SchemaDrift: the transform's or the stored columns are not those of the contract.
        TableLocked: another process kept writing the table.
        WrittenMeanwhile: another machine committed to the same days again and again; nothing was written.
    """
    for _ in range(_TRIES - 1):
        with suppress(WrittenMeanwhile):
            return _refresh(table, store, days, unless_equal, run_id, horizon, followed)
    return _refresh(table, store, days, unless_equal, run_id, horizon, followed)


def _refresh(
    table: Table,
    store: DeltaStore,
    days: Days | None,
    unless_equal: bool,
    run_id: str,
    horizon: Horizon | None,
    followed: bool,
) -> Receipt:
    if table.day and days is None:
        raise DeclarationError(table.full_name, "it has days, and none were asked for", "name days, as A..B")
    with store.lock(table.full_name):
        wanted = table.own_range(days) if table.day and days is not None else None
        base = store.version(table)
        # Under the lock: a seal or a claim is complete only when it has had this lock too.
        frontier = FrontierTable(store).state()
        if frontier is not None and wanted is not None:
            frontier.refuse_open(table, wanted)
        refuse_across_days(table, store.spark)
        believed = horizon or Horizon(datetime.now(UTC))
        pinned = pin_inputs(table, store, wanted, frontier, believed)
        work = _Work(table, store, wanted, pinned, run_id, believed, base, followed=followed)
        was_followed = frontier is not None and frontier.was_followed(table)
        receipt = _write_what_can_be(work, unless_equal=unless_equal, was_followed=was_followed)
        _record(work, receipt)
    failpoint("after_receipt", table.full_name)
    return receipt


def _write_what_can_be(work: _Work, *, unless_equal: bool, was_followed: bool) -> Receipt:
    """Write the days, except those whose files cannot be read.

    It first tries all. Where the job fails for such files, it writes the days that do not need them.
    """
    table = work.table

    def write(part: _Work) -> Receipt:
        pieces = split_days(table, part.days, part.pinned)
        return _joined(
            [
                _write(
                    dataclasses.replace(part, days=days, way="keep" if was_followed else way), unless_equal=unless_equal
                )
                for days, way in pieces
            ]
        )

    if _damaged(work, Landing.find_leading_out):  # the job would not fail at these files
        return _write_other_days(work, _damaged(work), write)
    try:
        return write(work)
    except (PySparkException, Py4JError) as error:
        if table.day and NO_DAY in str(error):
            raise RowsWithoutDay(table.full_name, table.day) from error
        if damaged := _damaged(work):
            return _write_other_days(work, damaged, write)
        for source in (read.source for read in table.reads):
            if isinstance(source, Table) and (gone := work.store.table_log(source).gone_files(source.day)):
                raise FilesGone(source.full_name, gone) from error
        if not work.store.table_log(table).forget_gone_files():
            raise
    return write(work)


def _damaged(work: _Work, find: _Finder = Landing.find_damaged) -> dict[date, dict[str, str]]:
    """Why files of the landing days cannot be read."""
    landing, found = work.store.landing, dict[date, dict[str, str]]()
    for feed in work.table.feeds:
        for day, files in find(landing, feed, work.days or landing.days(feed)).items():
            found.setdefault(day, {}).update(files)
    return found


def _write_other_days(
    work: _Work, damaged: Mapping[date, Mapping[str, str]], write: Callable[[_Work], Receipt]
) -> Receipt:
    """Write the days whose files can be read, each range by itself.

    The others stay as they were.
    """
    files = {path: problem for found in damaged.values() for path, problem in found.items()}
    problem = LandingDamaged(work.table.full_name, sorted(damaged), files)
    if work.days is None:
        raise problem
    parts = [
        write(dataclasses.replace(work, days=part))
        for part in Days.ranges(day for day in work.days if day not in damaged)
    ]
    rules = sum((Counter(part.rules) for part in parts), Counter[str]())
    counts = {day: count for part in parts for day, count in part.counts.items()}
    outcomes = {day: outcome for part in parts for day, outcome in part.outcomes.items()}
    lost: dict[date | None, Outcome] = dict.fromkeys(damaged, "failed")
    version = parts[-1].version if parts else work.store.version(work.table)
    return dataclasses.replace(
        _receipt(work, counts, {**outcomes, **lost}, rules, version),
        damaged=problem,
    )


def _joined(parts: Sequence[Receipt]) -> Receipt:
    """Return the receipts of parts of the days as one of them all."""
    if len(parts) == 1:
        return parts[0]
    first, last = parts[0], parts[-1]
    assert first.days is not None, "a table without days has one part"
    assert last.days is not None
    return dataclasses.replace(
        last,
        days=Days(first.days.start, last.days.end),
        counts={day: counts for part in parts for day, counts in part.counts.items()},
        outcomes={day: outcome for part in parts for day, outcome in part.outcomes.items()},
        rules=sum((Counter(part.rules) for part in parts), Counter[str]()),
    )


def _write(work: _Work, *, unless_equal: bool) -> Receipt:
    enforced = _enforced(work)
    if work.way == "grow" and _is_held(work, enforced):
        return _write(dataclasses.replace(work, way="replace"), unless_equal=unless_equal)
    if work.way == "grow":
        return _add_new_files(work, enforced)
    if work.way == "keep" and work.table.write.keeps_everything:
        return _add_to_bronze(work, enforced)
    if unless_equal and work.store.version(work.table) is not None:
        return _replace_what_differs(work, enforced)
    if work.table.policy == "fail":
        return _replace_good_days(work, enforced)
    return _replace_all(work, enforced)


def _is_held(work: _Work, enforced: Enforced) -> bool:
    """Tell whether the table holds a key of the new files.

    Only that of a message may be held, because the key of a file's line has the name of its file.
    """
    if not work.table.topics:
        return False
    return work.store.holds_any(work.table, enforced.again().accepted(), work.ranges or [])


def _enforced(work: _Work) -> Enforced:
    frames = [_read(work, read) for read in work.table.reads]
    partitions = int(work.store.spark.conf.get("spark.sql.shuffle.partitions") or 1)
    return enforce(work.table, work.table(*frames), work.days, partitions=partitions, horizon=work.horizon)


def _read(work: _Work, read: Read) -> DataFrame:
    source, store = read.source, work.store
    if isinstance(source, Feed):
        name = f"feed:{read.name}"
        marks = work.inputs[name] if work.way != "grow" else work.pinned.of_new_files(name)
        landed = map(date.fromisoformat, marks)
        wanted = [day for day in landed if work.days is None or day in work.days]
        return store.landing.read(store.spark, source, wanted, marks)
    days = read.selected(work.days) if work.days is not None and source.day else None
    return store.read(source, days, version=work.inputs[source.full_name])


def _replace_all(work: _Work, enforced: Enforced) -> Receipt:
    """Write every accepted row and quarantine the rest."""
    commit = _replace(work, enforced.accepted(), work.ranges)
    total = enforced.observed()
    counts, rules = _account(work, enforced, total, _written(work, commit))
    _check_conservation(work, counts, total, commit.rows)
    return _receipt(work, counts, dict.fromkeys(work.all_days, "written"), rules, commit.version)


def _replace(work: _Work, rows: DataFrame, ranges: list[Days] | None) -> Commit:
    return work.store.replace(work.table, rows, ranges, _metadata(work), since=-1 if work.base is None else work.base)


def _written(work: _Work, commit: Commit) -> Mapping[date | None, int]:
    """Count the rows of a commit by day."""
    return dict(commit.rows_by_day(work.table.day).items()) if work.table.day else {None: commit.rows}


def _account(
    work: _Work, enforced: Enforced, total: Counts, written: Mapping[date | None, int]
) -> tuple[Mapping[date | None, Counts], dict[str, int]]:
    """Replace the quarantine of these days.

    Returns:
        The counts by day, and the rejected rows by rule.
    """
    if not _fits(total):
        return enforced.counts_by_day(), _quarantine(work, enforced, total)
    dropped = enforced.dropped() if total.rejected or total.duplicates else NOTHING_DROPPED
    _file(work, dropped.rejected)
    if work.days is None:
        return {None: dataclasses.replace(total, disagreeing=dropped.disagreeing)}, dropped.rules()
    return dropped.counts(written), dropped.rules()


def _add_to_bronze(work: _Work, enforced: Enforced) -> Receipt:
    """Write the accepted rows that bronze does not hold.

    Rows that it holds stay. Once a stream has filled a table, its rows of a day need not be in that day's archive, and
    files may be gone that were read: replacing would lose them. Rows that say something else than what bronze holds
    count as disagreeing.
    """
    assert work.table.day is not None
    ranges = work.ranges or []
    commit = work.store.insert_new(work.table, enforced.accepted(), ranges, None, _metadata(work))
    counts: Mapping[date | None, Counts] = enforced.counts_by_day()
    total = enforced.observed()
    missing = work.store.count_missing(work.table, enforced.again().accepted(), ranges)
    _check_conservation(work, counts, total, total.rows_out - missing)
    if commit.rows < total.rows_out:
        counts = _with_differing(counts, work.store.count_differing(work.table, enforced.again().accepted(), ranges))
    rules = _quarantine(work, enforced, total)
    added = commit.days(work.table.day)
    outcomes: dict[date | None, Outcome] = {day: "written" if day in added else "unchanged" for day in work.all_days}
    return _receipt(work, counts, outcomes, rules, commit.version)


def _add_new_files(work: _Work, enforced: Enforced) -> Receipt:
    """Add the rows of the files that have joined the days.

    The counts are those of whole days: what the ledger says of the other files, and what came of these.
    """
    rows, base = enforced.accepted(), -1 if work.base is None else work.base
    commit = work.store.append(work.table, rows, None, _metadata(work), since=base)
    total, written = enforced.observed(), _written(work, commit)
    added, rules = _account(work, enforced, total, written)
    _check_conservation(work, added, total, commit.rows)
    before = {day: work.pinned.grown[day].counts for day in work.days or ()}
    if any(counts.rejected for counts in before.values()):
        rules = rejected_rules(work.store, work.table, work.all_days)
    counts: dict[date | None, Counts] = {day: known + added.get(day, Counts()) for day, known in before.items()}
    outcomes: dict[date | None, Outcome] = {day: "written" if day in written else "unchanged" for day in counts}
    return _receipt(work, counts, outcomes, rules, commit.version)


def _with_differing(
    counts: Mapping[date | None, Counts], differing: Mapping[date, int]
) -> Mapping[date | None, Counts]:
    more: dict[date | None, Counts] = {day: Counts(disagreeing=rows) for day, rows in differing.items()}
    return {day: count + more.get(day, Counts()) for day, count in counts.items()}


def _replace_good_days(work: _Work, enforced: Enforced) -> Receipt:
    """Write the days without a rejected row.

    A day that has any stays as it was. The job stops at the first bad row before anything is committed, so a clean
    refresh costs nothing extra.
    """
    try:
        commit = _replace(work, enforced.accepted(fail_on_reject=True), work.ranges)
    except (PySparkException, Py4JError):  # a failed task is the second on a classic session, the first on Connect
        failed = {day for day, count in enforced.counts_by_day().items() if count.rejected}
        if not failed:
            raise
        return _write_around(work, failed)
    total = enforced.observed()
    counts, rules = _account(work, enforced, total, _written(work, commit))
    _check_conservation(work, counts, total, commit.rows)
    return _receipt(work, counts, dict.fromkeys(work.all_days, "written"), rules, commit.version)


def _write_around(work: _Work, failed: set[date | None]) -> Receipt:
    enforced = _enforced(work)  # an observation belongs to one job
    counts = enforced.counts_by_day()
    rules = _quarantine(work, enforced, sum(counts.values(), Counts()))
    good = Days.ranges(day for day in work.all_days if day is not None and day not in failed)
    version = work.store.version(work.table)
    if good:
        rows = _of_days(enforced.accepted(), work.table, good)
        version = _replace_days(work, rows, good, counts, set(work.all_days) - failed)
    outcomes: dict[date | None, Outcome] = {day: "failed" if day in failed else "written" for day in work.all_days}
    return _receipt(work, counts, outcomes, rules, version)


def _replace_what_differs(work: _Work, enforced: Enforced) -> Receipt:
    """Write only the days whose rows differ from the stored ones."""
    kept = dataclasses.replace(enforced, flagged=enforced.flagged.persist())
    try:
        counts, fresh = kept.counts_by_day(), kept.accepted()
        failed = {day for day, count in counts.items() if count.rejected} if work.table.policy == "fail" else set()
        version = work.store.version(work.table)
        changed = _changed_days(work, fresh, version) - failed
        if work.table.day and (outside := changed - set(work.all_days)):
            asked = ", ".join(map(str, work.ranges or []))
            raise RowsOutsideDays(work.table.full_name, work.table.day, asked, sorted(outside, key=str))
        if work.table.day is None and changed:
            version = _replace_days(work, fresh, None, counts, changed)
        elif changed:
            ranges = Days.ranges(day for day in changed if day is not None)
            version = _replace_days(work, _of_days(fresh, work.table, ranges), ranges, counts, changed)
        rules = _quarantine(work, kept, sum(counts.values(), Counts()))
    finally:
        kept.flagged.unpersist()
    outcomes: dict[date | None, Outcome] = {
        day: "failed" if day in failed else "written" if day in changed else "unchanged" for day in work.all_days
    }
    return _receipt(work, counts, outcomes, rules, version)


def _replace_days(
    work: _Work, rows: DataFrame, ranges: list[Days] | None, counts: Mapping[Any, Counts], days: set[date | None]
) -> int:
    """Write some of the days and check how many rows they got.

    Two independent counts must agree: that by day before the write, and that of the commit.
    """
    commit = _replace(work, rows, ranges)
    expected = sum((counts[day] for day in days if day in counts), Counts())
    if expected.rows_out != commit.rows:
        raise RowsLost(work.table.full_name, str(expected), str(expected), commit.rows)
    return commit.version


def _changed_days(work: _Work, fresh: DataFrame, version: int | None) -> set[date | None]:
    """Return the days whose fresh rows differ from the stored ones.

    Rows are compared as multisets: some row is not there equally often in both.
    """
    day = work.table.day
    stored = work.store.read(work.table, work.days, version=version, by=day)
    days = differing_rows(fresh, stored).select(F.col(day) if day else F.lit(None)).distinct()
    return {row[0] for row in days.collect()}


def _of_days(rows: DataFrame, table: Table, ranges: Sequence[Days]) -> DataFrame:
    assert table.day is not None
    condition = day_within(table.day, ranges[0])
    for part in ranges[1:]:
        condition = condition | day_within(table.day, part)
    return rows.where(condition)


def _fits(total: Counts) -> bool:
    """Tell whether all dropped rows, duplicates too, can be collected."""
    return total.rejected + total.duplicates <= _MOST_COLLECTED


def _quarantine(work: _Work, enforced: Enforced, total: Counts) -> dict[str, int]:
    """Replace the quarantine of these days and return its rows by rule."""
    if _fits(total) or not total.rejected:
        dropped = enforced.dropped() if total.rejected else NOTHING_DROPPED
        _file(work, dropped.rejected)
        return dropped.rules()
    if work.way == "grow":
        work.store.append_quarantine(work.table, enforced.rejected(), None, since=work.pinned.quarantine)
    else:
        work.store.replace_quarantine(work.table, enforced.rejected(), work.ranges)
    return enforced.rules()


def _file(work: _Work, rejects: pa.Table) -> None:
    """Put rejected rows into the quarantine.

    They replace those of their days, or join them where only new files were read.
    """
    if work.way != "grow":
        work.store.store_quarantine(work.table, rejects, work.ranges)
    elif rejects.num_rows:
        work.store.append_quarantine(work.table, rejects, None, since=work.pinned.quarantine)


def _check_conservation(work: _Work, counts: Mapping[Any, Counts], total: Counts, written: int) -> None:
    """Raise unless rows in = rows out + rejected + duplicates.

    Three independent counts must agree: observed, by day, and stored.
    """
    by_day = sum(counts.values(), Counts())
    if by_day != total or total.rows_out != written:
        raise RowsLost(work.table.full_name, str(total), str(by_day), written)


def _metadata(work: _Work) -> dict[str, Any]:
    """Return what the Delta commit says about the refresh."""
    versions = {name: value for name, value in work.inputs.items() if not name.startswith("feed:")}
    return {
        "refresh": work.table.full_name,
        "days": str(work.days) if work.days is not None else None,
        "inputs": versions,
        "code_version": work.table.code_version,
        "run_id": work.run_id,
        **({"follow": work.table.full_name} if work.followed else {}),
    } | ({CALENDAR: str(work.horizon.calendar)} if work.table.feeds else {})


def _receipt(
    work: _Work,
    counts: Mapping[date | None, Counts],
    outcomes: Mapping[date | None, Outcome],
    rules: Mapping[str, int],
    version: int | None,
) -> Receipt:
    return Receipt(
        table=work.table.full_name,
        days=work.days,
        counts={day: _counts(counts.get(day, Counts()), outcomes[day]) for day in work.all_days},
        outcomes=outcomes,
        rules=rules,
        inputs=work.inputs,
        version=version,
        code_version=work.table.code_version,
        seconds=time.monotonic() - work.started,
    )


def _counts(counts: Counts, outcome: Outcome) -> Counts:
    """Return the counts of a day, without rows out for a failed one.

    A failed day writes nothing, whatever could have been accepted.
    """
    return dataclasses.replace(counts, rows_out=0) if outcome == "failed" else counts


def _record(work: _Work, receipt: Receipt) -> None:
    Ledger(work.store).record(_entries(work, receipt))


def _entries(work: _Work, receipt: Receipt) -> Iterable[Entry]:
    own = work.store.table_log(work.table).table_id()
    table_ids = work.pinned.table_ids | ({} if own is None else {receipt.table: own})
    for day, counts in receipt.counts.items():
        if receipt.damaged and day in receipt.damaged.days:
            continue  # such a day was not computed
        yield Entry(
            table=receipt.table,
            day=day,
            outcome=receipt.outcomes[day],
            rows_in=counts.rows_in,
            rows_out=counts.rows_out,
            rejected=counts.rejected,
            duplicates=counts.duplicates,
            disagreeing=counts.disagreeing,
            inputs={name: _of_day(value, day) for name, value in receipt.inputs.items()},
            version=-1 if receipt.version is None else receipt.version,
            code_version=receipt.code_version,
            seconds=round(receipt.seconds, 3),
            run_id=work.run_id,
            table_ids=table_ids,
        )


def _of_day(value: Any, day: date | None) -> Any:
    return value.get(str(day)) if isinstance(value, dict) and day is not None else value
