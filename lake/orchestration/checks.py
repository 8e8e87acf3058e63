"""Check every table after a refresh, or when asked, without Spark.

    key_unique  no key has two rows                    by scanning the rows
    contract    few rows broke the contract            by the ledger, reasons from the quarantine
    row_count   nothing was lost, nothing came twice   by the ledger, and by what landed or the rows of the inputs
    fresh       the newest day that is due is there    by what feeds delivered, the ledger and the environment's clock
    streaming   the stream that owns open days moves   by its status, what has landed and both clocks

One more, `range_equals_day`, computes a day anew: in the session that a run of several days has used, or not at all.

A verdict is about the table as it stands, not about the run that asked: computing one good day never turns another
day's failure green. Only a scan of a table too large to read whole keeps to the days of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Literal

from lake.batch.day_alone import can_differ, compute_again
from lake.batch.foreign_rows import foreign_days
from lake.batch.freshness import FreshnessJudge
from lake.batch.rejected import rejected_rules
from lake.batch.rescued import count_rescued
from lake.batch.survey import Survey, ways_to_mend
from lake.declare.days import Day, Days
from lake.declare.graph import with_upstream
from lake.declare.table import Rows, Table, is_followable
from lake.errors import LakeError
from lake.orchestration.disagreeing import find_disagreeing
from lake.orchestration.rejected_rows import show_rejected
from lake.orchestration.upstream import Upstream
from lake.ownership.ledger import Entry, Ledger
from lake.project.settings import Settings
from lake.storage.log import Log
from lake.stream.stalled import StreamWatch
from lake.write.store import DeltaStore

__all__ = [
    "CHECKS",
    "LATE",
    "NEXT",
    "RANGE_CHECKS",
    "RUNBOOK",
    "SINK_RUNBOOK",
    "Inspection",
    "Verdict",
    "checks_of",
    "judge_fresh",
    "judge_streaming",
    "lasting_checks",
    "next_step",
]

Severity = Literal["WARN", "ERROR"]

CHECKS: Mapping[str, str] = {
    "key_unique": "No key has two rows.",
    "contract": "At most one row or 1 % of a day broke the contract (more is a warning, above 10 % or all an error).",
    "row_count": "Rows read = rows written + rejected + duplicates, as many as landed or as the inputs hold.",
    "fresh": "What feeds were to deliver for the newest day that is due is there, and the day was computed from it.",
}
"""The checks of every table, with what they promise."""

RANGE_CHECKS: Mapping[str, str] = {
    "range_equals_day": "A day of a range, computed by itself, has the rows that the range gave it.",
}
"""The checks of tables that are computed from days of other tables."""

STREAM_CHECKS: Mapping[str, str] = {
    "streaming": "The stream that owns days of the table, if any, is alive, and nothing waits for it for too long.",
}
"""The checks of tables that can be followed, or are computed early beside streams."""

LATE = frozenset({"fresh", "streaming"})
"""The checks that say whether a table is on time, whatever days were computed."""

NEXT: Mapping[str, str] = {
    "key_unique": "lakehouse refresh {table}{days}",
    "contract": "lakehouse quarantine {table}{days} shows the rows; mend their source or the contract, then "
    "lakehouse refresh {table}{days}",
    "row_count": "lakehouse refresh {table}{days}",
    "fresh": "lakehouse refresh {table} computes what has landed; lakehouse status --verbose says what is missing",
    "range_equals_day": "widen days(before=..., after=...) in reads, or narrow the window; "
    "then lakehouse refresh {table}{days}",
    "streaming": "lakehouse status says which stream; docs/runbook.md, 'Streams: stalled, dead, behind'",
}
"""What to do where a check fails: every message about it ends with this."""

RUNBOOK: Mapping[str, str] = {
    "key_unique": "docs/runbook.md#a-key-has-two-rows",
    "contract": "docs/runbook.md#rows-are-in-quarantine",
    "row_count": "docs/runbook.md#rows-do-not-add-up",
    "fresh": "docs/runbook.md#a-table-is-late",
    "range_equals_day": "docs/runbook.md#a-range-differs-from-its-day",
    "streaming": "docs/runbook.md#streams-stalled-dead-behind",
}
"""The page and section that say more, by check."""

SINK_RUNBOOK = "docs/runbook.md#a-sink-was-not-loaded"
"""The page and section that say more of the checks of sinks."""

_ON_PURPOSE: Mapping[Rows, str] = {
    "each": "where the transform drops rows on purpose, declare rows='some', where it multiplies them rows='any'",
    "some": "where the transform multiplies rows on purpose, declare rows='any'; where it drops all, mend it, then "
    "lakehouse refresh {table} --changed-code",
    "any": "where the transform drops all rows, mend it, then lakehouse refresh {table} --changed-code",
}
"""What else to do where the candidates of a table are not as many as the rows of bronze."""

WARN_SHARE, ERROR_SHARE = 0.01, 0.10
SCAN_WHOLE_UP_TO_ROWS = 1_000_000


def checks_of(table: Table) -> dict[str, str]:
    """Return the checks of a table, with what they promise."""
    streams = STREAM_CHECKS if is_followable(table) or table.early_every else {}
    return {**CHECKS, **(RANGE_CHECKS if can_differ(table) else {}), **streams}


def lasting_checks(tables: Iterable[Table]) -> dict[str, Table]:
    """Name the checks that hold until their table is computed again, as `layer.table check`."""
    return {f"{table.full_name} {name}": table for table in tables for name in checks_of(table) if name not in LATE}


@dataclass(frozen=True)
class Verdict:
    """The answer of one check.

    Attributes:
        summary: one sentence.
        failing: the days that fail, in order, each with what is wrong; None is the whole table.
        severity: how bad that is.
        facts: numbers that the verdict rests on.
        remedy: what to do, where that is not what `NEXT` says.
    """

    summary: str
    failing: Mapping[Day, str] = field(default_factory=dict)
    severity: Severity = "ERROR"
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    remedy: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether no day fails."""
        return not self.failing


def next_step(table: str, check: str, verdict: Verdict) -> str:
    """Name the command that helps where a check fails, for the first failing days."""
    return verdict.remedy or _command(table, check, verdict.failing)


def _command(table: str, check: str, days: Iterable[Day]) -> str:
    ranges = Days.ranges(day for day in days if day)
    return NEXT[check].format(table=table, days=f" --days {ranges[0]}" if ranges else "")


@dataclass
class Inspection:
    """One look at one table, which reads the ledger once.

    Attributes:
        days: the days that a run has just written; None where nobody says (or the table has no days).
        ledger: the newest ledger entry of each day, where the caller has read them already.
        run_id: the run that has written these days, if one has.
    """

    table: Table
    store: DeltaStore
    settings: Settings
    days: Days | None = None
    ledger: Mapping[Day, Entry] | None = None
    run_id: str = ""

    def judge(self, check: str) -> Verdict:
        """Return the verdict of one of the table's checks."""
        verdicts = {
            "key_unique": self.key_unique,
            "contract": self.contract,
            "row_count": self.row_count,
            "fresh": self.fresh,
            "streaming": self.streaming,
            "range_equals_day": self.range_equals_day,
        }
        try:
            return verdicts[check]()
        except Exception as error:
            if (found := self._unreadable(error)) is None:
                raise
            return found

    def _unreadable(self, error: Exception) -> Verdict | None:
        """Return the verdict where a log or a file cannot be read.

        None where each can.
        """
        if isinstance(error, LakeError):
            return Verdict(str(error), {None: error.message().what})
        failing: dict[Day, str] = {}
        for feed in self.table.feeds:
            damaged = self.store.landing.find_damaged(feed, (day for day in self.entries if day))
            failing |= {day: f"files cannot be read: {files}" for day, files in damaged.items()}
        for table in (self.table, *self.table.inputs):
            for day, paths in self.store.table_log(table).gone_files(table.day).items():
                days = f" --days {day}" if day else ""
                said = f"{len(paths)} data files of {table.full_name} are gone, like {paths[0]}"
                failing[day] = f"{said}: lakehouse refresh {table.full_name}{days}"
        return Verdict("rows cannot be read", failing) if failing else None

    @cached_property
    def entries(self) -> Mapping[Day, Entry]:
        """The newest ledger entry of each day."""
        return Ledger(self.store).latest(self.table.full_name) if self.ledger is None else self.ledger

    def key_unique(self) -> Verdict:
        """Count the keys themselves.

        File statistics would only repeat what the writer believed.
        """
        log = self.store.table_log(self.table)
        if log.version() is None:
            return Verdict("the table was never written")
        size = log.rows()  # by file statistics: good enough to choose by, not to judge by
        scanned = self.days if size > SCAN_WHOLE_UP_TO_ROWS else None
        repeated = _repeated_keys(self.table, log, scanned)
        failing: dict[Day, str] = {day: f"{keys:,} keys have more than one row" for day, keys in repeated.items()}
        facts: dict[str, int | float | str] = {"rows": size, "days_scanned": str(scanned or "all")}
        return Verdict(f"{sum(repeated.values()):,} keys have more than one row", failing, facts=facts)

    def contract(self) -> Verdict:
        """Find days that were refused or lost too large a share of their rows."""
        refused: dict[Day, str] = {}
        errors: dict[Day, str] = {}
        warnings: dict[Day, str] = {}
        for day, entry in sorted(self.entries.items(), key=_by_day):
            share = entry.rejected / max(entry.rows_in, 1)
            rejects = f"{entry.rejected:,} of {entry.rows_in:,} rows rejected ({share:.1%})"
            if entry.outcome == "failed":
                refused[day] = f"not written, {rejects}"
            elif share > WARN_SHARE and (entry.rejected > 1 or share == 1):
                (errors if share > ERROR_SHARE else warnings)[day] = rejects
        rejected = sum(entry.rejected for entry in self.entries.values())
        facts: dict[str, int | float | str] = {
            "rows_in": sum(entry.rows_in for entry in self.entries.values()),
            "rejected": rejected,
        }
        if unknown := count_rescued(self.table, self.store):
            facts["rows_with_unknown_fields"] = sum(unknown.values())
        if rejected:
            rules = rejected_rules(self.store, self.table).items()
            facts["rules"] = ", ".join(f"{rule} ({rows:,})" for rule, rows in rules)
        severity: Severity = "ERROR" if refused or errors else "WARN"
        failing = dict(sorted({**refused, **errors, **warnings}.items(), key=_by_day))
        if failing:
            facts |= show_rejected(self.table, self.store, failing)
        return Verdict(f"{rejected:,} rows are in quarantine", failing, severity, facts)

    def row_count(self) -> Verdict:
        """Check that each refresh lost no row and doubled none.

        The rows are compared too with those of what was read, wherever the two can be compared. Of bronze, which keeps
        what it has, also that the files still say so; that is a warning.
        """
        lost = {day: found for day, entry in self.entries.items() if (found := _unaccounted(entry))}
        foreign = self._foreign
        compared = list(Upstream(self.table, self.store, self._scanned).comparisons())
        differing = {one.day: str(one) for one in compared if not one.agrees}
        severity: Severity = "ERROR" if differing or lost or foreign else "WARN"
        wrong = {**find_disagreeing(self.table, self.store, self.entries), **differing, **lost}
        failing = dict(sorted({**wrong, **foreign}.items(), key=_by_day))
        facts: dict[str, int | float | str] = {
            "days": len(self.entries),
            "rows_in": sum(entry.rows_in for entry in self.entries.values()),
            "rows_out": sum(entry.rows_out for entry in self.entries.values()),
            "duplicates": sum(entry.duplicates for entry in self.entries.values()),
            "disagreeing": sum(entry.disagreeing for entry in self.entries.values()),
            "compared_with_upstream": len(compared),
        }
        is_red = "rows are missing" if differing or lost else "rows are there that nobody computed"
        said = is_red if severity == "ERROR" else "rows of landed files differ from those that are kept"
        remedy = self._remedy(wrong, foreign) if foreign or (differing and self.table.is_row_by_row) else ""
        return Verdict(said if failing else "every row is accounted for", failing, severity, facts, remedy)

    @property
    def _foreign(self) -> dict[Day, str]:
        """The days with rows of another program."""
        log, is_early = self.store.table_log(self.table), partial(self._survey.is_early, self.table)
        return foreign_days(self.table, log, self.entries, is_early)

    def _remedy(self, wrong: Iterable[Day], foreign: Iterable[Day]) -> str:
        """Say what to do about days that differ, then about rows of another program."""
        days = [day for day in wrong if day not in foreign]
        commands = [_command(self.table.full_name, "row_count", days)] if days else []
        if days and self.table.is_row_by_row:
            commands.append(_ON_PURPOSE[self.table.rows].format(table=self.table.full_name))
        return "; ".join([*commands, *(how for how, _ in ways_to_mend(self._survey, self.table, foreign))])

    @property
    def _scanned(self) -> Mapping[Day, Entry]:
        """The days whose rows are looked at: of a large table, the run's."""
        is_large = sum(entry.rows_in for entry in self.entries.values()) > SCAN_WHOLE_UP_TO_ROWS
        if self.days is None or not is_large:
            return self.entries
        return {day: entry for day, entry in self.entries.items() if day is None or day in self.days}

    def fresh(self) -> Verdict:
        """Check that the newest due day is there, and wholly delivered.

        That is, with all that the feeds were to deliver for it.
        """
        return judge_fresh(self.table, FreshnessJudge(self._survey, self.settings.now()))

    @cached_property
    def _survey(self) -> Survey:
        return Survey(list(with_upstream([self.table])), self.store, self.settings.calendar())

    def range_equals_day(self) -> Verdict:
        """Compute one day of the range that this run has written by itself.

        The check chooses the tables and the day, and compares the rows with those of the range.
        """
        entries = self.entries if self.run_id else {}
        found = compute_again(self.table, self.store, self.run_id, entries, self.settings.horizon())
        if found is None:
            said = "no day of a range was chosen to be computed by itself"
            return Verdict(said if self.run_id else "it does not apply: no run of several days has written what is new")
        facts: dict[str, int | float | str] = {"day": str(found.day), "run": self.run_id}
        if not found.differing:
            return Verdict(f"{found.day} computed by itself has the same rows", facts=facts)
        shown = f"by itself {found.alone or 'no row'}, in the range {found.stored or 'no row'}"
        return Verdict(f"{found.differing:,} rows of a range differ from its day", {found.day: shown}, facts=facts)

    def streaming(self) -> Verdict:
        """Check that the stream that owns the table's open days moves."""
        watch = StreamWatch(self.store, self.settings.home, from_files=self.settings.feed == "files")
        return judge_streaming(self.table, watch, self.settings)


def judge_fresh(table: Table, judge: FreshnessJudge) -> Verdict:
    """Return the verdict of the check `fresh`."""
    found = judge.judge(table)
    facts = {"due": str(found.due_day or "none yet"), "now": f"{judge.now:%Y-%m-%d %H:%M} UTC"}
    if not found.is_whole:
        facts = {"newest_day": str(found.newest_day or "none"), **facts}
    failing = {None if found.is_whole else found.due_day: str(found)} if found.is_late else {}
    return Verdict(str(found), failing, facts=facts)


def judge_streaming(table: Table, watch: StreamWatch, settings: Settings) -> Verdict:
    """Return the verdict of the check `streaming`.

    Without a stream that owns days of the table it passes.
    """
    first_open = watch.frontier.first_followed_day(table) if watch.frontier else None
    if first_open is None:
        return Verdict("no stream owns a day of it")
    stall = watch.judge(table, now=datetime.now(UTC), clock=settings.now())
    status = watch.statuses.get(table.full_name)
    if status is None and table.early_every:
        return Verdict("nobody computes its open days early")
    facts = {"open_from": str(first_open), "said_last": (status and status.seen_at) or "nothing"}
    if stall is None:
        return Verdict("its stream moves, or has read all there was", facts=facts)
    return Verdict(str(stall), {first_open: str(stall)}, facts=facts)


def _by_day(item: tuple[Day, object]) -> str:
    return str(item[0] or "")


def _unaccounted(entry: Entry) -> str | None:
    """Return what is wrong with the counts of one refresh."""
    accounted = entry.rows_out + entry.rejected + entry.duplicates
    if entry.outcome == "failed" or entry.rows_in == accounted:
        return None
    return f"{entry.rows_in:,} rows read, {accounted:,} accounted for"


def _repeated_keys(table: Table, log: Log, days: Days | None) -> dict[Day, int]:
    """Count the keys that have more than one row, by day.

    The day is the newest of those rows.
    """
    keys = ", ".join(f'"{column}"' for column in table.key)
    day = f'max("{table.day}")' if table.day else "CAST(NULL AS DATE)"
    within = f"WHERE \"{table.day}\" BETWEEN DATE '{days.start}' AND DATE '{days.last}'" if days and table.day else ""
    repeated = f"SELECT {day} AS day FROM stored {within} GROUP BY {keys} HAVING count(*) > 1"
    found = log.query(f"SELECT day, count(*) AS keys FROM ({repeated}) GROUP BY day ORDER BY day")
    return {row["day"]: row["keys"] for row in found}
