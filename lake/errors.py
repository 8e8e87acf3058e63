"""Everything that can go wrong in the lake, one class per cause.

    LakeError
    ├── DeclarationError        a table's file is malformed (raised at import)
    ├── ContractError           a contract or the rows under it
    │   ├── CannotCompile       a check that has no Spark equivalent (raised at import)
    │   └── ContractBroken      rows of a `policy="fail"` table broke the contract; nothing was written for their days
    ├── BadDay                  text that is not a calendar day or a range of days
    ├── BadName                 text that is not a table, column or feed name
    ├── BadProjectName          text that cannot be the name of a project
    ├── FolderInUse             a new project was to be written where something is
    ├── FilesThere              a new table was to be written where files are
    ├── BadSetting              a setting cannot be used
    ├── SettingMissing          a setting without default was not set
    ├── UnknownTable            a well-formed name that no table has
    ├── UnknownFeed             a name that no feed has
    ├── CannotLand              files cannot be a delivery of a feed
    ├── FeedNotByDay            the table of a feed is not partitioned by its day
    ├── LandingGone             days of bronze whose files are gone would lose their rows
    ├── InputLost               an input holds fewer rows than it had
    ├── CannotAcceptLoss        nothing of these days is lost, or nobody said which or why
    ├── CannotExport            a file for other tools cannot be written
    ├── RowsOutsideDays         a refresh produced rows of days that it was not asked for
    ├── RowsWithoutDay          a refresh produced rows that belong to no day
    ├── RowsLost                a refresh cannot account for every row that it read
    ├── SchemaDrift             the stored table and its contract disagree
    ├── LandingDamaged          files that landed cannot be read; the other days were computed
    ├── FilesGone               data files of an input are gone
    ├── LakeTooNew              a newer release wrote a table of the lake itself
    ├── LogDamaged              a file of a table's log cannot be read; other tables go on
    ├── TableLocked             another process writes this table (retryable)
    ├── WrittenMeanwhile        another writer was faster, and Delta refused this one (retryable)
    ├── PublishError            a sink and what its destination holds
    │   ├── UnknownSink         a name that no sink has
    │   ├── CannotMirror        the table has something that Iceberg cannot express
    │   ├── NotHandedOn         a topic did not take what was sent (retryable)
    │   ├── DestinationDrift    the destination has other columns than the contract
    │   ├── DestinationDiffers  the destination does not hold what was loaded; nothing was published
    │   ├── DestinationUnreachable  the destination does not answer (retryable)
    │   ├── ExtraMissing        a package that the destination needs is not installed
    │   ├── DestinationInUse    somebody else writes the destination
    │   ├── SecretMissing       the variable that a destination names is not set
    │   └── ValueRefused        the destination cannot hold a value
    ├── StreamError             streams and the days that they own
    │   ├── DayIsOpen           batch was asked to write days that streams own
    │   ├── DayAhead            streams were to begin on a day that has not come
    │   ├── AlreadyFollowed     another process runs the streams of this lake
    │   ├── LeaseLost           another driver may have the lease of the lake by now
    │   ├── NotAStream          the table cannot run as a stream
    │   ├── BronzeLost          a followed bronze table is gone, and so is what it came from
    │   ├── InputRestored       an input was restored to an earlier version while it was followed
    │   ├── TableRestored       the table of a stream was restored or made anew while it ran
    │   ├── StreamBroken        a query stopped; what it had committed stays
    │   ├── TopicUnreachable    the cluster of a topic does not answer (retryable)
    │   ├── TopicMissing        the cluster has no topic of this name
    │   ├── TopicReplaced       another topic has the name of the one that was read
    │   ├── TopicShorter        a topic ends before what was read of it
    │   ├── MessagesGone        a topic no longer holds messages that were not read
    │   ├── CannotPassOver      a message cannot be passed over, or need not be
    │   └── OtherMessage        another message than the one that bronze holds has its offset
    └── SetupError              the machine lacks something
        ├── JavaMissing
        ├── JavaWrong
        ├── JarMissing
        ├── JarDamaged
        ├── Offline             (retryable)
        ├── StorageUnreachable  an object store does not answer (retryable)
        ├── StorageRefused      it does not take the keys
        ├── BucketMissing       it has no such bucket
        ├── NeedsFolder         landing lies in one, and a folder is needed
        ├── FolderNotWritable
        └── FolderNotReadable

Each class is a dataclass: its fields are what happened, as values; its message is built from them and says where, what
and the next step. `retryable` is a fact of the class: True means that the same call may succeed later with nothing
changed, and the retry policy reads it. So is `runbook`, the section that ends in a command: a class, or the one above
it, names it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from inspect import get_annotations
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, NamedTuple, Self, dataclass_transform

__all__ = [
    "AlreadyFollowed",
    "BadDay",
    "BadName",
    "BadProjectName",
    "BadSetting",
    "BronzeLost",
    "BucketMissing",
    "CannotAcceptLoss",
    "CannotCompile",
    "CannotExport",
    "CannotLand",
    "CannotMirror",
    "CannotPassOver",
    "ContractBroken",
    "ContractError",
    "DayAhead",
    "DayIsOpen",
    "DeclarationError",
    "DestinationDiffers",
    "DestinationDrift",
    "DestinationInUse",
    "DestinationUnreachable",
    "ExtraMissing",
    "FeedNotByDay",
    "FilesGone",
    "FilesThere",
    "FolderInUse",
    "FolderNotReadable",
    "FolderNotWritable",
    "InputLost",
    "InputRestored",
    "JarDamaged",
    "JarMissing",
    "JavaMissing",
    "JavaWrong",
    "LakeError",
    "LakeTooNew",
    "LandingDamaged",
    "LandingGone",
    "LeaseLost",
    "LogDamaged",
    "Message",
    "MessagesGone",
    "NeedsFolder",
    "NotAStream",
    "NotHandedOn",
    "Offline",
    "OtherMessage",
    "PublishError",
    "RowsLost",
    "RowsOutsideDays",
    "RowsWithoutDay",
    "SchemaDrift",
    "SecretMissing",
    "SettingMissing",
    "SetupError",
    "StorageRefused",
    "StorageUnreachable",
    "StreamBroken",
    "StreamError",
    "TableLocked",
    "TableRestored",
    "TopicMissing",
    "TopicReplaced",
    "TopicShorter",
    "TopicUnreachable",
    "UnknownFeed",
    "UnknownSink",
    "UnknownTable",
    "ValueRefused",
    "WrittenMeanwhile",
]

_MAKING = RLock()

EXAMPLES = 3
"""How many examples a message shows; the fields hold all of them."""


class Message(NamedTuple):
    """The three things that every error says."""

    where: str
    what: str
    next_step: str


@dataclass_transform(eq_default=False, field_specifiers=(field,))
class LakeError(Exception):
    """Base of every error that a person can cause and repair.

    The person is a user, an operator or the author of a table. Each kind is a dataclass, made when the first of it is
    raised, because to make them all would take a tenth of a short command.
    """

    retryable: ClassVar[bool] = False
    runbook: ClassVar[str] = ""

    def __init_subclass__(cls, runbook: str = "") -> None:
        cls.runbook = runbook or cls.runbook
        _make(cls.__mro__[1:])  # for whoever decorates it as a dataclass

    def __new__(cls, *values: Any, **fields: Any) -> Self:
        del fields  # __init__ takes them
        _make(cls.__mro__)
        return super().__new__(cls, *values)

    @property
    def page(self) -> str:
        """The page and section of the runbook that say more."""
        return self.runbook

    def message(self) -> Message:
        """Say where it happened, what was expected and found, and what to do next."""
        raise NotImplementedError(f"{type(self).__name__}.message")

    def __str__(self) -> str:
        where, what, next_step = self.message()
        return f"{where}: {what}\n  next: {next_step}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by their positional arguments, which ours do not have. Worker processes send them home.
        return _rebuild, (type(self), self.__dict__)


def _make(kinds: Sequence[type]) -> None:
    """Make dataclasses of the kinds of errors that have fields of their own."""
    with _MAKING:
        for kind in reversed(kinds):  # a dataclass takes the fields of its bases
            if not issubclass(kind, LakeError) or kind is LakeError or "__init__" in vars(kind):
                continue
            if get_annotations(kind):
                dataclass(eq=False)(kind)


def _rebuild(kind: type[LakeError], fields: dict[str, Any]) -> LakeError:
    error = kind.__new__(kind)
    error.__dict__.update(fields)
    return error


def first_few(items: Sequence[object] | Mapping[Any, Any]) -> str:
    """Return the first few of `items`, and how many there are besides."""
    shown = (
        [f"{key} ({value})" for key, value in items.items()] if isinstance(items, Mapping) else list(map(str, items))
    )
    rest = len(shown) - EXAMPLES
    return ", ".join(shown[:EXAMPLES]) + (f" and {rest} more" if rest > 0 else "")


class DeclarationError(LakeError, runbook="docs/runbook.md#a-declaration-is-refused"):
    """A table's declaration contradicts itself or its file.

    Attributes:
        file: the file that declares the table.
        problem: what is wrong there, with what was expected and found.
        remedy: what to write instead.
    """

    file: str
    problem: str
    remedy: str

    def message(self) -> Message:
        return Message(self.file, self.problem, self.remedy)


class ContractError(LakeError, runbook="docs/runbook.md#a-declaration-is-refused"):
    """A contract, or rows under a contract."""


class CannotCompile(ContractError):
    """A check of a contract has no equivalent in one Spark pass.

    It would be silently skipped.

    Attributes:
        contract: name of the contract class.
        column: the column that carries the check.
        check: the check as pandera names it.
        supported: names of the checks that can be compiled.
        problem: what is wrong with this use of a check that is among them; empty where the check is not.
        remedy: what to write instead.
    """

    contract: str
    column: str
    check: str
    supported: Sequence[str] = ()
    problem: str = ""
    remedy: str = ""

    def message(self) -> Message:
        return Message(
            f"contract {self.contract}, column {self.column}",
            f"the check {self.check!r} cannot be compiled to a Spark expression"
            + (f", because {self.problem}" if self.problem else ""),
            self.remedy or f"use one of: {', '.join(sorted(self.supported))}",
        )


class ContractBroken(ContractError, runbook="docs/runbook.md#a-day-broke-a-fail-contract"):
    """Rows of a table whose policy is "fail" broke its contract.

    The days named here were not written.

    Attributes:
        table: name of the table, "silver.departures".
        days: rejected rows per day.
        rules: rejected rows per rule.
    """

    table: str
    days: Mapping[Any, int]
    rules: Mapping[str, int] | Sequence[str]

    def message(self) -> Message:
        total = sum(self.days.values())
        return Message(
            f"{self.table}, days {first_few(self.days)}",
            f"{total} {'row' if total == 1 else 'rows'} broke the contract; expected none. "
            f"Rules: {first_few(self.rules)}",
            f"lakehouse quarantine {self.table} shows the rows; mend their source and refresh these days again",
        )


class BadDay(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """Text that is not a day (2024-01-31) or a range of days (2024-01-01..2024-01-31).

    Attributes:
        text: what was given.
        problem: why it is refused.
    """

    text: str
    problem: str = "not a calendar day"

    def message(self) -> Message:
        return Message(
            f"day {_quoted(self.text)}",
            self.problem,
            "write a day as 2024-01-31, a range as 2024-01-01..2024-01-31 (the last day included)",
        )


class BadName(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """Text that cannot be the name of a table, column or feed.

    It has not reached any path or SQL.

    Attributes:
        text: what was given.
        kind: what it was meant to name: "table", "column", "feed".
        problem: why it is refused.
    """

    text: str
    kind: str = "table"
    problem: str = "not a name"

    def message(self) -> Message:
        form = "layer.name, like silver.departures" if self.kind == "table" else "like departed_at"
        return Message(
            f"{self.kind} name {_quoted(self.text)}",
            self.problem,
            f"write it in lower case with letters, digits and underscores: {form}",
        )


def _quoted(text: str, limit: int = 60) -> str:
    """Return untrusted text on one line and of bounded length, for a log."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")


class BadProjectName(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """Text that cannot be the name of a project. Nothing was written.

    Attributes:
        text: the last part of the folder's name.
    """

    text: str

    def message(self) -> Message:
        return Message(
            f"project name {_quoted(self.text)}",
            "a project is named as its folder is: letters and digits, with single - _ . between, at most 60 characters",
            "lakehouse new my-lakehouse",
        )


class FolderInUse(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """A new project was to be written where something is. Nothing was written.

    Attributes:
        folder: where to.
        problem: what is there.
    """

    folder: Path
    problem: str

    def message(self) -> Message:
        return Message(
            f"folder {self.folder}",
            f"{self.problem}; nothing was written",
            "name a folder that is empty or does not exist yet, as lakehouse new my-lakehouse",
        )


class FilesThere(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """A new table was to be written where files are. Nothing was written.

    Attributes:
        table: `layer.name`.
        files: those that exist.
    """

    table: str
    files: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"table {self.table}",
            f"there is {' and '.join(self.files)}; nothing was written",
            "choose another name, or edit what is there",
        )


class BadSetting(LakeError, runbook="docs/runbook.md#a-setting-is-refused-or-missing"):
    """A setting has a value that cannot be used.

    Attributes:
        name: the variable LAKEHOUSE_..., or the name in the project's file.
        value: what it holds; a description where it may be a secret.
        expected: what it should hold.
        place: the table and the file that hold it; empty for a variable.
    """

    name: str
    value: str
    expected: str
    place: str = ""

    def message(self) -> Message:
        where = f"setting {self.name}={self.value!r}" + (f" in {self.place}" if self.place else "")
        return Message(
            where, f"expected {self.expected}", "change it there" if self.place else f"change or unset {self.name}"
        )


class SettingMissing(LakeError, runbook="docs/runbook.md#a-setting-is-refused-or-missing"):
    """A setting that has no default was not set.

    Attributes:
        name: of the setting.
        project: the folder of the project; None where none was found.
    """

    name: str
    project: str | None

    def message(self) -> Message:
        if self.project is None:
            what = "no pyproject.toml with [tool.lakehouse] lies in this folder or above it"
            return Message(f"setting {self.name}", what, "go to the project's folder, or set LAKEHOUSE_PROJECT to it")
        where = f"setting {self.name} in [tool.lakehouse] of {self.project}/pyproject.toml"
        return Message(
            where, "it is missing and has no default", f"write it there, or set LAKEHOUSE_{self.name.upper()}"
        )


class UnknownTable(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """No table, or more than one, has this name.

    Attributes:
        name: what was asked for.
        known: the names of all tables that may be meant.
        problem: why none is.
    """

    name: str
    known: Sequence[str]
    problem: str = "no such table"

    def message(self) -> Message:
        if not self.known:
            hint = "there is none yet: declare a feed first, in the folder feeds (docs/your-own-data.md)"
            return Message(f"table {_quoted(self.name)}", self.problem, hint)
        near = get_close_matches(self.name, self.known, n=EXAMPLES)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the tables are: {', '.join(sorted(self.known))}"
        return Message(f"table {_quoted(self.name)}", self.problem, f"{hint} (lakehouse status lists them all)")


class UnknownFeed(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """No feed has this name.

    Attributes:
        name: what was asked for.
        known: the names of all feeds that tables read.
    """

    name: str
    known: Sequence[str]

    def message(self) -> Message:
        near = get_close_matches(self.name, self.known, n=EXAMPLES)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the feeds are: {', '.join(sorted(self.known))}"
        return Message(f"feed {_quoted(self.name)}", "no table reads a feed of this name", hint)


class CannotLand(LakeError, runbook="docs/runbook.md#a-delivery-is-refused"):
    """Files cannot be a delivery of a feed. Nothing was copied.

    Attributes:
        feed: its name.
        day: the landing day.
        problems: why, by file.
    """

    feed: str
    day: date
    problems: Mapping[str, str]

    def message(self) -> Message:
        named = "; ".join(f"{_quoted(file)}: {why}" for file, why in list(self.problems.items())[:EXAMPLES])
        more = f" and {len(self.problems) - EXAMPLES:,} more" if len(self.problems) > EXAMPLES else ""
        return Message(
            f"feed {self.feed}, landing day {self.day}",
            f"{named}{more}; nothing was copied",
            "mend or rename these files, then run the same command again",
        )


class FeedNotByDay(LakeError, runbook="docs/runbook.md#a-feeds-table-is-not-partitioned-by-its-day"):
    """The table of a feed is not partitioned by the feed's day.

    Attributes:
        feed: its name.
        table: folder of the table.
        day: the column that the feed names.
        columns: those by which the table is partitioned.
    """

    feed: str
    table: str
    day: str
    columns: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"feed {self.feed}, table {self.table}",
            f"it is partitioned by {', '.join(self.columns) or 'nothing'}, not by {self.day}, so its log does not say "
            "which days were changed",
            f"name in day= a DATE column by which it is partitioned, or ask its owner to partition it by {self.day}",
        )


class LandingGone(LakeError, runbook="docs/runbook.md#files-are-gone-from-landing"):
    """Days of a bronze table have rows whose files are gone.

    A refresh would empty them. Nothing was written.

    Attributes:
        table: `layer.name`.
        folder: where the files lay, "landing/weather".
        days: rows by day; None is the whole table.
        lost: how many of them the table does not hold any more either.
    """

    table: str
    folder: str
    days: Mapping[date | None, int]
    lost: int = 0

    def message(self) -> Message:
        rows = sum(self.days.values())
        if self.lost:
            return Message(
                f"{self.table}, {_days(self.days)}",
                f"of {rows:,} rows {self.lost:,} are lost: the table does not hold them, and their files are no longer "
                f"in {self.folder}; nothing was written",
                f"put the files back into {self.folder}, or restore the table's folder from a backup; "
                f"{_accepting(self.table, self.days)}",
            )
        return Message(
            f"{self.table}, {_days(self.days)}",
            f"{rows:,} rows came from files that are no longer in {self.folder}, so there is nothing to compute them "
            "from; bronze is the archive and keeps what it holds; nothing was written",
            "leave these days out (what reads them can be computed: lakehouse refresh TABLE --days A..B), or put the "
            f"files back into {self.folder}",
        )


class InputLost(LakeError, runbook="docs/runbook.md#an-input-has-lost-rows"):
    """An input of a table holds fewer rows than it had when written.

    Nothing was computed.

    Attributes:
        table: `layer.name`, what was asked for.
        source: `layer.name` of the input.
        days: rows that the ledger says, and rows found, by day of the input; None is the whole table.
        reads_files: whether the input is an archive of files, which may be gone as well.
    """

    table: str
    source: str
    days: Mapping[date | None, tuple[int, int]]
    reads_files: bool = False

    def message(self) -> Message:
        expected, found = (sum(numbers[place] for numbers in self.days.values()) for place in (0, 1))
        accepting = f"; {_accepting(self.source, self.days)}" if self.reads_files else ""
        return Message(
            f"{self.table}, input {self.source}, {_days(self.days)}",
            f"the ledger says {expected:,} rows, the table holds {found:,}; nothing was computed from what is left",
            f"lakehouse refresh {self.source}{_days_option(self.days)} computes them again; where that cannot be, "
            f"restore the folder of that table from a backup{accepting}",
        )


class CannotExport(LakeError, runbook="docs/runbook.md#a-file-for-other-tools-cannot-be-written"):
    """A file for other tools cannot be written. One that was there stays.

    Attributes:
        file: its name.
        reason: why not.
        remedy: what to do instead.
    """

    file: str
    reason: str
    remedy: str

    def message(self) -> Message:
        return Message(f"file {self.file}", f"{self.reason}; nothing was written", self.remedy)


class CannotAcceptLoss(LakeError, runbook="docs/runbook.md#rows-of-bronze-are-lost-for-good"):
    """The loss of rows was to be accepted, and cannot be. Nothing was changed.

    Attributes:
        table: `layer.name`.
        reason: why not.
        remedy: what to do instead.
    """

    table: str
    reason: str
    remedy: str

    def message(self) -> Message:
        return Message(self.table, f"{self.reason}; nothing was accepted", f"{self.remedy} ({_LOST_PAGE})")


_LOST_PAGE = "docs/runbook.md, 'Rows of bronze are lost for good'"


def _accepting(table: str, days: Iterable[date | None]) -> str:
    command = f'lakehouse refresh {table}{_days_option(days)} --accept-loss "REASON"'
    return f"where they are gone for good: {command} ({_LOST_PAGE})"


def _days_option(days: Iterable[date | None]) -> str:
    named = [day for day in days if day is not None]
    return f" --days {min(named)}..{max(named)}" if named else ""


def _days(days: Iterable[date | None]) -> str:
    named = [str(day) for day in days if day is not None]
    return f"days {first_few(named)}" if named else "the whole table"


class RowsOutsideDays(LakeError, runbook="docs/runbook.md#rows-of-other-days"):
    """A transform gave rows of days that this refresh does not replace.

    Nothing was written.

    Attributes:
        table: name of the table.
        column: the column that holds the day.
        days: the days that were asked for, "2024-01-01..2024-01-31".
        outside: days found besides, with rows per day where counted.
    """

    table: str
    column: str
    days: str
    outside: Mapping[Any, int] | Sequence[object]

    def message(self) -> Message:
        return Message(
            f"{self.table}, column {self.column}, days {self.days}",
            f"expected only rows of these days, found also {first_few(self.outside)}; nothing was written",
            f"correct how the transform computes {self.column}, or the before= and after= of its reads",
        )


class RowsWithoutDay(LakeError, runbook="docs/runbook.md#rows-of-other-days"):
    """A transform gave rows that belong to no day.

    Their day is null, and nothing else says under which day to file them. They could not go into quarantine: a later
    refresh of their day would not find and replace them there.

    Attributes:
        table: name of the table.
        column: the column that holds the day.
    """

    table: str
    column: str

    def message(self) -> Message:
        return Message(
            f"{self.table}, column {self.column}",
            "the transform gave a row in which it is null, so the row belongs to no day; nothing was written",
            f"compute {self.column} from columns that are never null, or add a column _event_date, the day under which "
            "such a row is rejected",
        )


class RowsLost(LakeError, runbook="docs/runbook.md#rows-do-not-add-up"):
    """Independent counts of a refresh or micro-batch disagree.

    Rows in are not rows out + rejected + duplicates.

    Attributes:
        table: name of the table.
        observed: what passed through the job that wrote.
        by_day: the sum over the days.
        stored: rows that the table took.
    """

    table: str
    observed: str
    by_day: str
    stored: int

    def message(self) -> Message:
        return Message(
            self.table,
            f"observed {self.observed}, by day {self.by_day}, stored {self.stored:,} rows; there is no receipt",
            "its transform gives other rows each time it runs (a clock, a random number?): make it depend on its rows "
            "alone and refresh the same days again (a stream's: lakehouse follow --new-generation TABLE); otherwise "
            "report this as a bug",
        )


class SchemaDrift(LakeError, runbook="docs/runbook.md#the-stored-columns-are-not-those-of-the-contract"):
    """The columns of a frame or table are not those of the contract.

    The table is a stored one.

    Attributes:
        table: name of the table.
        expected: column -> type, as the contract says.
        found: column -> type, as they are.
    """

    table: str
    expected: Mapping[str, str]
    found: Mapping[str, str]

    def message(self) -> Message:
        missing = [f"{name} {kind} is missing" for name, kind in self.expected.items() if name not in self.found]
        extra = [
            f"{name} {kind} is not in the contract" for name, kind in self.found.items() if name not in self.expected
        ]
        changed = [
            f"{name} should be {kind} and is {self.found[name]}"
            for name, kind in self.expected.items()
            if self.found.get(name, kind) != kind
        ]
        return Message(
            self.table,
            "its columns are not those of its contract: " + "; ".join(missing + changed + extra),
            "change contract and transform together; a stored table takes new columns and, at the end of a struct, new "
            "fields by itself if they are nullable, and for anything else move its folder away and refresh its days",
        )


class LandingDamaged(LakeError, runbook="docs/runbook.md#a-landed-file-cannot-be-read"):
    """Files that landed cannot be read.

    Their days were not written, but the others that were asked for were.

    Attributes:
        table: `layer.name`.
        days: the days.
        files: why each file cannot be read, by path.
    """

    table: str
    days: Sequence[object]
    files: Mapping[str, str]

    def message(self) -> Message:
        return Message(
            f"{self.table}, landing days {first_few(self.days)}",
            f"{len(self.files)} of their files cannot be read, so they were not written: {first_few(self.files)}",
            f"send the files again, or move them out of landing/; then lakehouse refresh {self.table} "
            f"--days {self.days[0]}",
        )


class FilesGone(LakeError, runbook="docs/runbook.md#data-files-of-a-table-are-gone"):
    """Data files of a table that is read are gone. Nothing was written.

    Attributes:
        table: the input, `layer.name`.
        files: the files by day, None for the whole table.
    """

    table: str
    files: Mapping[date | None, Sequence[str]]

    def message(self) -> Message:
        day = next(iter(self.files))
        return Message(
            f"table {self.table}, days {first_few([day or 'unknown' for day in self.files])}",
            f"data files are gone: {first_few([path for paths in self.files.values() for path in paths])}",
            f"lakehouse refresh {self.table}{f' --days {day}' if day else ''} makes them again",
        )


class LakeTooNew(LakeError, runbook="docs/runbook.md#a-newer-release-has-written-the-lake"):
    """A newer release wrote a table of the lake itself.

    This one does not know its format, and wrote nothing.

    Attributes:
        table: which one, `lake/ledger`.
        found: its format.
        known: the newest format that this release knows.
    """

    table: str
    found: int
    known: int

    def message(self) -> Message:
        return Message(
            f"table {self.table}",
            f"a newer lakehouse wrote it, in format {self.found}; this one knows formats up to {self.known}, and "
            "wrote nothing",
            "install the version of lakehouse that the others use (pyproject.toml pins it), then make setup; see "
            "docs/runbook.md, 'A newer release has written the lake'",
        )


class LogDamaged(LakeError, runbook="docs/runbook.md#a-tables-log-is-damaged"):
    """A file of a table's log cannot be read.

    So nobody can say what the table holds. Nothing was written.

    Attributes:
        location: folder or URL of the table.
        file: the file's name in the log.
        problem: what is wrong with it.
    """

    location: str
    file: str
    problem: str

    def message(self) -> Message:
        return Message(
            f"table {'.'.join(self.location.rstrip('/').split('/')[-2:])}, file {self.location}/_delta_log/{self.file}",
            self.problem,
            'restore the file, or mend the table without it: see "A table\'s log is damaged" in docs/runbook.md; '
            "other tables go on",
        )


class TableLocked(LakeError, runbook="docs/runbook.md#a-table-is-being-written-by-another-process"):
    """Another process held the table's write lock for too long.

    This process waited for as long as it was willing to.

    Attributes:
        table: name of the table.
        waited_seconds: how long this process waited.
        holder: who has the lock, as far as known ("pid 4711, lakehouse refresh").
    """

    table: str
    waited_seconds: float
    holder: str | None = None
    retryable: ClassVar[bool] = True

    def message(self) -> Message:
        return Message(
            f"table {self.table}",
            f"another process is writing it ({self.holder or 'holder unknown'}); waited {self.waited_seconds:.0f} s",
            "run the same command again when that process has finished; nothing was written by this one",
        )


class WrittenMeanwhile(LakeError, runbook="docs/runbook.md#another-machine-was-faster"):
    """Another writer committed to the same rows of a table meanwhile.

    Nothing was written by this one.

    Attributes:
        table: name of the table.
        said: which commit it was, or how Delta calls the conflict.
    """

    table: str
    said: str
    retryable: ClassVar[bool] = True

    def message(self) -> Message:
        return Message(
            f"table {self.table}",
            f"another writer committed to it in the meantime ({self.said}), so this one wrote nothing; no row is lost",
            "run the same command again; `lakehouse status` says whether streams own the days by now",
        )


class PublishError(LakeError, runbook="docs/runbook.md#a-sink-was-not-loaded"):
    """A sink and what its destination holds."""


class UnknownSink(PublishError):
    """No sink has this name.

    Attributes:
        name: what was asked for.
        known: the names of all sinks.
    """

    name: str
    known: Sequence[str]

    def message(self) -> Message:
        near = get_close_matches(self.name, self.known, n=EXAMPLES)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the sinks are: {', '.join(sorted(self.known))}"
        if not self.known:
            hint = "declare one in serving/<name>.py of the project (docs/serving.md)"
        return Message(f"sink {_quoted(self.name)}", "no such sink", hint)


class CannotMirror(PublishError):
    """The table has something that Iceberg cannot express, so readers would see other rows.

    Attributes:
        sink: `serving.name`.
        problem: what.
        remedy: what to do.
    """

    sink: str
    problem: str
    remedy: str

    def message(self) -> Message:
        return Message(self.sink, self.problem, self.remedy)


class NotHandedOn(PublishError):
    """A topic did not take what was sent.

    What it took is sent again, under the same ids.

    Attributes:
        sink: `serving.name`.
        topic: the topic.
        problem: what the client said.
    """

    retryable: ClassVar[bool] = True
    sink: str
    topic: str
    problem: str

    def message(self) -> Message:
        return Message(f"{self.sink}, topic {self.topic}", self.problem, f"lakehouse publish {self.sink}")


class DestinationDrift(PublishError):
    """The destination has other columns than the contract, beyond nullable ones that it lacks.

    Attributes:
        sink: `serving.name`.
        differences: what is other.
    """

    sink: str
    differences: Sequence[str]

    def message(self) -> Message:
        return Message(
            self.sink,
            "the destination has other columns than the contract: " + "; ".join(self.differences),
            f"lakehouse publish --anew {self.sink.rpartition('.')[2]} makes its table there anew and loads all of it; "
            "what depends on the old one has to follow",
        )


class DestinationDiffers(PublishError):
    """The destination does not hold what was loaded, so nothing of it was published.

    Attributes:
        sink: `serving.name`.
        days: what was loaded and what is there, by day.
    """

    sink: str
    days: Mapping[Any, str]

    def message(self) -> Message:
        return Message(
            f"{self.sink}, days {first_few(self.days)}",
            "count or checksum of what the destination holds are not those of what was loaded; it was left as it was",
            f"look for a trigger or a program that changes rows there, then lakehouse publish {self.sink}",
        )


class DestinationInUse(PublishError):
    """Somebody else writes the destination.

    Attributes:
        sink: `serving.name`.
        destination: without a secret.
        problem: what was seen.
    """

    retryable: ClassVar[bool] = True
    sink: str
    destination: str
    problem: str

    def message(self) -> Message:
        return Message(f"{self.sink}, {self.destination}", self.problem, "let the other end, then publish again")


class DestinationUnreachable(PublishError):
    """The destination does not answer.

    Attributes:
        sink: `serving.name`.
        variable: that holds its address.
        problem: what was seen, without a secret.
    """

    retryable: ClassVar[bool] = True
    sink: str
    variable: str
    problem: str

    def message(self) -> Message:
        where = f"{self.sink}, the destination that {self.variable} names"
        return Message(where, self.problem, f"start it, or change {self.variable}; then publish again")


class ExtraMissing(PublishError):
    """A package that the destination needs is not installed.

    Attributes:
        sink: `serving.name`.
        destination: kind of the destination.
        package: what is missing.
        extra: of the lakehouse that installs it; None where a project's own destination needs it.
    """

    sink: str
    destination: str
    package: str
    extra: str | None = None

    def message(self) -> Message:
        what = f"the package {self.package} is not installed, which {self.destination} needs"
        install = f"pip install 'lakehouse[{self.extra}]'" if self.extra else "install the distribution that holds it"
        return Message(self.sink, what, install)


class SecretMissing(PublishError):
    """The variable that a destination names is not set.

    Attributes:
        sink: `serving.name`.
        variable: its name.
    """

    sink: str
    variable: str

    def message(self) -> Message:
        return Message(
            self.sink, f"the variable {self.variable} is not set", f"set {self.variable}, then publish again"
        )


class ValueRefused(PublishError):
    """The destination cannot hold a value.

    Nothing was published.

    Attributes:
        sink: `serving.name`.
        column: the column.
        problem: what its values hold.
        days: rows that hold it, by day.
        remedy: what to do.
    """

    sink: str
    column: str
    problem: str
    days: Mapping[Any, int]
    remedy: str

    def message(self) -> Message:
        return Message(f"{self.sink}, column {self.column}, days {first_few(self.days)}", self.problem, self.remedy)


class StreamError(LakeError, runbook="docs/runbook-streams.md#a-stream-stopped"):
    """Streams, and the days that they own."""


class DayIsOpen(StreamError, runbook="docs/runbook-streams.md#batch-refuses-a-day"):
    """Batch was asked to write days that the streams still own. Nothing was written.

    Attributes:
        table: `layer.name`.
        days: the days asked for, "2024-01-01..2024-01-31".
        first_open: the first day that streams own; batch owns the days before it.
        last_sealed: the day before it.
    """

    table: str
    days: str
    first_open: date
    last_sealed: date

    def message(self) -> Message:
        return Message(
            f"{self.table}, days {self.days}",
            f"streams own its days from {self.first_open} on, and only they write them; nothing was written",
            f"refresh days up to {self.last_sealed}; later ones follow once they are sealed "
            "(or end the streams, then run: lakehouse follow --release)",
        )


class DayAhead(StreamError, runbook="docs/runbook-streams.md#days-were-sealed-too-far"):
    """Streams were to begin on a day that has not come.

    Every day until then would be over for them.

    Attributes:
        day: the day that was named.
        today: the day of the lake's clock.
    """

    day: date
    today: date

    def message(self) -> Message:
        return Message(
            f"day {self.day}",
            f"it lies after the lake's clock, which is on {self.today}; nothing was changed",
            "name a day that has come; lakehouse status shows the clock in its first line",
        )


class AlreadyFollowed(StreamError, runbook="docs/runbook-streams.md#two-drivers"):
    """Another process runs the streams of this lake. Nothing was started or changed.

    Attributes:
        holder: which process, as far as known.
    """

    holder: str

    def message(self) -> Message:
        return Message(
            "streams of this lake",
            f"another process runs them ({self.holder}); two would write the same days",
            "end that process first (SIGTERM ends it after the running micro-batches), then run this again",
        )


class LeaseLost(StreamError, runbook="docs/runbook-streams.md#the-lease-was-lost"):
    """This driver may no longer have the lease of its lake.

    It did not renew the lease in time, or another driver has taken over. Nothing was written.

    Attributes:
        owner: this driver.
        epoch: under which it held the lease.
    """

    owner: str
    epoch: int

    def message(self) -> Message:
        return Message(
            f"streams of this lake, lease {self.epoch} of {self.owner}",
            "it was not renewed in time (a machine that slept, a store that did not answer), or another driver has it",
            "run lakehouse follow again: it goes on where the other one is, or says who has the lease",
        )


class NotAStream(StreamError, runbook="docs/runbook-streams.md#a-table-cannot-be-followed"):
    """A table was to be followed that no stream leads to.

    Attributes:
        table: `layer.name`; empty where tables were to be found, and none can run as a stream.
        known: the tables that can be followed.
    """

    table: str
    known: Sequence[str]

    def message(self) -> Message:
        can = f"these can be followed: {', '.join(self.known)}" if self.known else "no table here can be followed"
        return Message(
            f"table {self.table}" if self.table else "all tables",
            "batch only: no topic leads there, or it has no days and is not Latest",
            f"lakehouse refresh {self.table}".rstrip() + f"; {can}",
        )


STREAM_RUNBOOK = "docs/runbook-streams.md"


class BronzeLost(StreamError, runbook="docs/runbook-streams.md#bronze-and-its-topic-are-gone"):
    """A bronze table is gone with what it came from.

    No stream was started.

    Attributes:
        table: `layer.name`.
        topic: what it is read from.
        rows: how many it held, as far as anybody knows.
        files: that it was read from and that are gone.
    """

    table: str
    topic: str
    rows: int
    files: Sequence[str] = ()

    def message(self) -> Message:
        held = f"up to {self.rows:,} rows" if self.rows else "rows"
        what = (
            f"{len(self.files):,} of its files are gone: {first_few(self.files)}" if self.files else "nothing is left"
        )
        return Message(
            f"stream of {self.table}",
            f"the table held {held} and was removed or made anew, and of its topic {self.topic} {what}; its readers "
            "would replace their open days by what is left; nothing was changed",
            f"restore the table's folder from a backup, or put back what it came from, then lakehouse follow; where "
            f"both are gone for good: lakehouse follow --accept-loss {self.table} "
            f"({STREAM_RUNBOOK}, 'Bronze and its topic are gone')",
        )


class InputRestored(StreamError, runbook="docs/runbook-streams.md#an-input-was-restored"):
    """An input was restored to an earlier version while followed. Nothing was written.

    Attributes:
        table: `layer.name` of the table whose stream stopped.
        source: the input.
        version: the version that restored it.
    """

    table: str
    source: str
    version: int

    def message(self) -> Message:
        return Message(
            f"stream of {self.table}",
            f"{self.source} was restored to an earlier version, in version {self.version}; "
            "its rows of before would be counted twice",
            f"run lakehouse follow again: the stream begins anew ({STREAM_RUNBOOK}, 'An input was restored')",
        )


class TableRestored(StreamError, runbook="docs/runbook-streams.md#an-input-was-restored"):
    """A table was restored or made anew while its stream ran. The stream stopped.

    Attributes:
        table: `layer.name`.
        version: the version that restored it; None where another table lies in its place.
    """

    table: str
    version: int | None = None

    def message(self) -> Message:
        what = "made anew" if self.version is None else f"restored to an earlier version, in version {self.version}"
        return Message(
            f"stream of {self.table}",
            f"the table was {what} while its stream ran: rows that it had written are not in it",
            f"run lakehouse follow again: the stream begins anew ({STREAM_RUNBOOK}, 'An input was restored')",
        )


class StreamBroken(StreamError):
    """A query stopped with an error.

    Every micro-batch that it had committed stays. All other queries were stopped.

    Attributes:
        table: `layer.name`.
        problem: what the query said.
        checkpoint: its checkpoint.
    """

    table: str
    problem: str
    checkpoint: str

    def message(self) -> Message:
        page, remedy = self.diagnosis
        return Message(
            f"stream of {self.table}, checkpoint {self.checkpoint}",
            self.problem,
            f"{remedy.format(table=self.table)} ({STREAM_RUNBOOK}, {page!r})",
        )

    @property
    def page(self) -> str:
        """The section about what the query said."""
        return f"{STREAM_RUNBOOK}#{self.diagnosis[0].lower().replace(' ', '-')}"

    @property
    def diagnosis(self) -> tuple[str, str]:
        """The runbook's page for what the query said, and what to do next."""
        if (unreadable := UNREADABLE.search(self.problem)) is not None:
            place = ":".join(unreadable.groups())
            return "A message that Spark refuses to read", f"lakehouse follow --feed kafka --pass-over {place}"
        known = (found for signs, *found in _DIAGNOSES if re.search(signs, self.problem, re.IGNORECASE))
        page, remedy = next(known, _UNKNOWN_CAUSE)
        return page, remedy


UNREADABLE = re.compile(r"Record at topic (\S+) partition (\d+) offset (\d+) has timestamp value .* overflows")
"""What Spark's Kafka source says of a message whose timestamp it cannot hold."""
_GOES_ON = "run lakehouse follow again: it goes on from the last micro-batch"
_DIAGNOSES = (
    (r"no space left|disk quota", "The disk is full", f"make room, then {_GOES_ON}"),
    (
        r"data may have been lost|DATA_LOSS|failOnDataLoss|OffsetOutOfRange",
        "Messages are gone from the topic",
        "deliver them from an archive if there is one, then lakehouse follow --new-generation {table}",
    ),
    (
        r"UnknownTopic",
        "A topic does not exist",
        f"create it again if it was removed (lakehouse kafka status finds the local broker), then {_GOES_ON}",
    ),
    (
        r"TimeoutException|node assignment|disconnect|failed to construct kafka",
        "The broker does not answer",
        f"lakehouse kafka status; when the broker answers, {_GOES_ON}",
    ),
    (
        r"FAILED_READ_FILE|PATH_NOT_FOUND|part-[\w.-]+\.parquet.{0,20} does not exist|DELTA_FILE_NOT_FOUND",
        "A file of an input is gone",
        "lakehouse follow --new-generation {table}: it reads what the open days hold now",
    ),
    (
        r"CANNOT_LOAD_STATE|state store|state file|incomplete log|log file was malformed|MalformedLog|json|\.changelog"
        r"|\.sst|CHECKPOINT|offset log|commit log|gaps in|batch .* doesn't exist|unexpected end|FileNotFound|EOF",
        "A checkpoint is damaged",
        "lakehouse follow --new-generation {table}: it reads the open days anew and replaces them",
    ),
)
"""What the words of Spark, Delta and Kafka mean: signs, page of the runbook, next step. The first match counts."""
_UNKNOWN_CAUSE = (
    "A stream stopped",
    f"mend the cause and {_GOES_ON}. If the checkpoint is damaged: lakehouse follow --new-generation {{table}}",
)


class TopicUnreachable(StreamError, runbook="docs/runbook-streams.md#the-broker-does-not-answer"):
    """The cluster of a topic did not answer. No stream was started.

    Attributes:
        topic: its name.
        address: of the cluster.
        reason: what the client says.
    """

    topic: str
    address: str
    reason: str
    retryable: ClassVar[bool] = True

    def message(self) -> Message:
        return Message(
            f"topic {self.topic} at {self.address}",
            self.reason,
            "lakehouse kafka status (or ask whoever runs the cluster); then lakehouse follow again "
            f"({STREAM_RUNBOOK}, 'The broker does not answer')",
        )


class TopicMissing(StreamError, runbook="docs/runbook-streams.md#a-topic-does-not-exist"):
    """The cluster answers, and has no topic of this name.

    No stream was started.

    Attributes:
        topic: its name.
        address: of the cluster.
        known: the topics that it has.
    """

    topic: str
    address: str
    known: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"topic {self.topic} at {self.address}",
            f"the cluster answers and has no topic of this name; it has {first_few(self.known) or 'none'}",
            "where it is called otherwise: export LAKEHOUSE_KAFKA_TOPICS=<feed>=<its name>; else create it "
            "(lakehouse replay --to-kafka does); then lakehouse follow again "
            f"({STREAM_RUNBOOK}, 'A topic does not exist')",
        )


class TopicReplaced(StreamError, runbook="docs/runbook-streams.md#a-topic-was-made-anew"):
    """A topic was removed and made anew.

    Its offsets begin again and mean other messages. No stream was started.

    Attributes:
        table: the bronze table that reads it.
        topic: its name.
        before: the id of the topic that was read so far.
        found: the id of the topic that has the name now.
    """

    table: str
    topic: str
    before: str
    found: str

    def message(self) -> Message:
        return Message(
            f"{self.table}, topic {self.topic}",
            f"expected the topic that was read so far (id {self.before}), found another of its name (id {self.found}); "
            "nothing was read",
            "let the producers use a topic of a new name, set LAKEHOUSE_KAFKA_TOPICS=<feed>=<new name>, then "
            f"lakehouse follow --new-generation {self.table} ({STREAM_RUNBOOK}, 'A topic was made anew')",
        )


class TopicShorter(StreamError, runbook="docs/runbook-streams.md#a-broker-came-back-from-a-backup"):
    """A topic ends before what was read of it.

    Its broker lost the end, or came back from a backup. What the topic gets next has offsets under which bronze holds
    other messages. No stream was started.

    Attributes:
        table: the bronze table that reads it.
        topic: its name.
        ends: by partition, the next offset to read and the one at which the topic ends.
    """

    table: str
    topic: str
    ends: Mapping[int, tuple[int, int]]

    def message(self) -> Message:
        shown = {f"partition {number}": f"read up to offset {to - 1}, the topic ends before {end}"
                 for number, (to, end) in self.ends.items()}  # fmt: skip
        missing = sum(to - end for to, end in self.ends.values())
        return Message(
            f"{self.table}, topic {self.topic}",
            f"the topic lacks {missing:,} offsets that were read: {first_few(shown)}; nothing was read",
            "stop the producers, give them a topic of a new name that also has what came after the offsets above, and "
            "set LAKEHOUSE_KAFKA_TOPICS=<feed>=<new name>; where batch loaded an archive of another topic, follow this "
            f"one in a lake of its own ({STREAM_RUNBOOK}, 'A broker came back from a backup')",
        )


class MessagesGone(StreamError, runbook="docs/runbook-streams.md#messages-are-gone-from-the-topic"):
    """A topic no longer holds messages that were not read. No stream was started.

    Attributes:
        table: the bronze table that reads it.
        topic: its name.
        gaps: by partition, the first and the last offset that are gone.
    """

    table: str
    topic: str
    gaps: Mapping[int, tuple[int, int]]

    def message(self) -> Message:
        shown = {f"partition {number}": f"offsets {first}..{last}" for number, (first, last) in self.gaps.items()}
        return Message(
            f"{self.table}, topic {self.topic}",
            f"the topic no longer holds messages that were not read: {first_few(shown)}; nothing was read",
            "deliver them from an archive if there is one, then accept what is lost for good: "
            f"lakehouse follow --accept-loss {self.table} ({STREAM_RUNBOOK}, 'Messages are gone from the topic')",
        )


class CannotPassOver(StreamError, runbook="docs/runbook-streams.md#a-message-that-spark-refuses-to-read"):
    """A message cannot be passed over, or need not be.

    Nothing was changed.

    Attributes:
        place: where it lies, as it was named.
        reason: why not.
    """

    place: str
    reason: str

    def message(self) -> Message:
        return Message(
            f"message {self.place}",
            f"{self.reason}; nothing was passed over",
            "name the place that lakehouse status shows with the error of the stream, and --feed kafka "
            f"({STREAM_RUNBOOK}, 'A message that Spark refuses to read')",
        )


class OtherMessage(StreamError, runbook="docs/runbook-streams.md#a-topic-was-made-anew"):
    """A topic gave another message than bronze holds at its offset.

    The offset is one of a partition. The message was not written.

    Attributes:
        table: the bronze table.
        places: topic, partition and offset, with what differs.
    """

    table: str
    places: Sequence[str]

    def message(self) -> Message:
        return Message(
            self.table,
            f"bronze holds another message under the topic, partition and offset of {len(self.places)}: "
            f"{first_few(self.places)}",
            "the topic was made anew, its broker came back from a backup, or the archive that batch loaded numbers "
            "messages otherwise than the topic: follow the topic in a lake of its own, or under a new name "
            f"({STREAM_RUNBOOK}, 'A topic was made anew')",
        )


class SetupError(LakeError, runbook="docs/runbook.md#java-or-the-jars"):
    """The machine lacks something that the project needs."""


JAVA_INSTALL_LINES = {
    # Debian 12 and older have only 17, Debian 13 only 21, Ubuntu both.
    "Debian/Ubuntu": "sudo apt-get install -y openjdk-17-jre-headless || "
    "sudo apt-get install -y openjdk-21-jre-headless",
    "Fedora": "sudo dnf install -y java-21-openjdk-headless",
    "macOS": "brew install openjdk@17",
}
"""The command that installs a Java which Spark accepts, for each kind of system."""


def _java_remedy() -> str:
    lines = [f"{system + ':':15} {line}" for system, line in JAVA_INSTALL_LINES.items()]
    return "\n    ".join(["install Java 17 or 21, or set JAVA_HOME to one, then run lakehouse setup", *lines])


class JavaMissing(SetupError):
    """No Java was found and none could be fetched.

    Attributes:
        looked_in: the places that were searched.
        fetch_problem: why fetching one failed, if that was tried.
    """

    looked_in: Sequence[str] = field(default_factory=list)
    fetch_problem: str | None = None

    def message(self) -> Message:
        fetched = f"; fetching one failed: {self.fetch_problem}" if self.fetch_problem else ""
        looked = f" (looked at {'; '.join(self.looked_in)})" if self.looked_in else ""
        return Message("Java", f"Spark needs Java 17 or newer and none was found{looked}{fetched}", _java_remedy())


class JavaWrong(SetupError):
    """A Java was found, but not one that Spark runs on.

    Attributes:
        home: where it is.
        found: its version as it names itself.
        expected: what is needed.
    """

    home: Path
    found: str
    expected: str = "Java 17 or newer (17, 21 and 25 are supported by Spark)"

    def message(self) -> Message:
        return Message(f"Java in {self.home}", f"expected {self.expected}, found {self.found}", _java_remedy())


class JarMissing(SetupError):
    """A jar is not on this machine, or not in jars.lock.

    Attributes:
        jar: its coordinate, "io.delta:delta-storage:4.4.0", or the name of a jar set.
        path: where it was expected.
        problem: why it counts as missing.
    """

    jar: str
    path: Path
    problem: str = "expected a verified jar, found none"

    def message(self) -> Message:
        return Message(f"jar {self.jar}", f"{self.problem} ({self.path})", "lakehouse setup")


class JarDamaged(SetupError):
    """The bytes of a jar are not those that jars.lock pins.

    Attributes:
        jar: its coordinate.
        path: the file.
        expected: its sha256 in jars.lock.
        found: its sha256, or what was seen of the file.
    """

    jar: str
    path: Path
    expected: str
    found: str

    def message(self) -> Message:
        return Message(
            f"jar {self.jar} in {self.path}",
            f"expected {self.expected}, found {self.found}",
            "lakehouse setup (it fetches a damaged jar again)",
        )


class Offline(SetupError):
    """Something has to be fetched and the network does not give it.

    Attributes:
        wanted: what was to be fetched.
        problem: what the network answered.
    """

    wanted: str
    problem: str
    retryable: ClassVar[bool] = True

    def message(self) -> Message:
        return Message(
            f"fetching {self.wanted}",
            f"not on this machine and not to be had from the network: {self.problem}",
            "connect, or set the proxy that your network asks for (HTTPS_PROXY), then run lakehouse setup again",
        )


class StorageUnreachable(SetupError, runbook="docs/runbook.md#tables-in-an-object-store-cannot-be-read"):
    """An object store does not answer.

    Attributes:
        location: URL of the folder.
        address: the server that was asked; empty where that is not known.
        problem: what the network said.
    """

    location: str
    address: str
    problem: str
    retryable: ClassVar[bool] = True

    def message(self) -> Message:
        asked = f"{self.address} does not answer" if self.address else "the object store does not answer"
        return Message(
            self.location,
            f"{asked}: {self.problem}",
            "check AWS_ENDPOINT_URL (http or https, host, port) and the network; where it is right, run this again",
        )


class NeedsFolder(SetupError, runbook="docs/runbook.md#tables-in-an-object-store-cannot-be-read"):
    """A command needs landing in a folder of this machine.

    Attributes:
        location: URL of the landing folder.
    """

    location: str

    def message(self) -> Message:
        return Message(
            f"landing {self.location}",
            "lies in an object store, and this needs a folder of this machine",
            "run it with landing in a folder (LAKEHOUSE_LANDING), and put the files into the store by lakehouse land",
        )


class StorageRefused(SetupError, runbook="docs/runbook.md#tables-in-an-object-store-cannot-be-read"):
    """An object store does not take the keys.

    Attributes:
        location: URL of the folder.
        problem: what it said; never a key.
    """

    location: str
    problem: str

    def message(self) -> Message:
        return Message(
            self.location,
            f"the object store refuses: {self.problem}",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, AWS_REGION) to keys that may "
            "list, read, write and delete there",
        )


class BucketMissing(SetupError, runbook="docs/runbook.md#tables-in-an-object-store-cannot-be-read"):
    """An object store has no such bucket.

    Attributes:
        location: URL of the folder.
    """

    location: str

    def message(self) -> Message:
        return Message(
            self.location,
            "the store answers, and has no bucket of this name",
            "create it, or correct the URL or AWS_ENDPOINT_URL",
        )


class FolderNotWritable(SetupError, runbook="docs/runbook.md#a-lock-belongs-to-another-user"):
    """A folder that the project writes to cannot be written.

    Attributes:
        folder: the folder.
        problem: what the system said.
        setting: the environment variable that chooses another folder.
        place: the table and the file of the project that choose this one; empty where a variable or nothing does.
    """

    folder: Path
    problem: str
    setting: str = "LAKEHOUSE_HOME"
    place: str = ""

    def message(self) -> Message:
        next_step = f"give yourself the right to write it, or choose another: export {self.setting}=/a/folder/you/own"
        if self.place:
            import psutil

            make = f"sudo install -d -o {psutil.Process().username()} {shlex.quote(str(self.folder))}"
            name = self.setting.removeprefix("LAKEHOUSE_").lower()
            next_step = f"make it for this user: {make}; or change `{name}` in {self.place}"
        return Message(f"folder {self.folder}", f"cannot be written: {self.problem}", next_step)


class FolderNotReadable(SetupError, runbook="docs/runbook.md#a-landed-file-cannot-be-read"):
    """A folder under `landing/` cannot be read.

    So nobody can say what has landed there.

    Attributes:
        folder: the folder.
        problem: what the system said.
    """

    folder: str
    problem: str

    def message(self) -> Message:
        return Message(
            f"folder {self.folder}",
            f"cannot be read: {self.problem}; what it holds is not read, and what was read of it stays",
            f"give the user of the lake the right to read and enter it (chmod -R u+rX {self.folder}, or chown), then "
            "run this again",
        )
