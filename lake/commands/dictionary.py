"""The data dictionary: what the declarations say of tables and feeds, for programs.

Needs no JVM and no row of a table. Only the lineage of columns is read from LAKEHOUSE_HOME, where a run has noted it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lake.commands.json_output import VERSION
from lake.declare.column_lineage import ColumnLineage
from lake.declare.column_origins import How
from lake.declare.contract import ContractColumn
from lake.declare.days import Span
from lake.declare.feed import Feed, FileFeed, TopicFeed
from lake.declare.pii import Pii
from lake.declare.sink import Sink
from lake.declare.table import Policy, Read, Table
from lake.project.environment import Environment
from lake.project.known_lineage import known_lineages

__all__ = ["DataDictionary", "dictionary_of"]


@dataclass(frozen=True)
class Constraint:
    """One thing that each value of a column must satisfy.

    Attributes:
        check: the name of the check, as `ge`.
        text: what it states, as `>= 0`.
    """

    check: str
    text: str


@dataclass(frozen=True)
class MadeOf:
    """A column of an input of which a column is made.

    Attributes:
        source: `layer.name` of a table, or `feeds.name`.
        column: of the source.
        how: in which ways the value comes of it.
    """

    source: str
    column: str
    how: Sequence[How]


@dataclass(frozen=True)
class DictionaryColumn:
    """A column of a table.

    Attributes:
        name: of the column.
        type: as Spark spells it.
        nullable: whether it may be null.
        description: its meaning, with its unit.
        stored: whether the table stores it; else it is only checked.
        pii: what it tells of a person, as stated; null where nothing is.
        constraints: what the contract states of it, beyond that it is there.
        made_of: columns of the inputs; null where no run has found them yet, or they are not exactly known.
    """

    name: str
    type: str
    nullable: bool
    description: str
    stored: bool
    pii: Pii | None
    constraints: Sequence[Constraint]
    made_of: Sequence[MadeOf] | None


@dataclass(frozen=True)
class DictionaryRead:
    """An input of a table, and the days of it that a day needs.

    Attributes:
        source: `layer.name` of a table, or `feeds.name`.
        days_before: how many days before the day.
        days_after: how many days after the day.
        span: the whole week or month that is read instead, if any.
    """

    source: str
    days_before: int
    days_after: int
    span: Span | None


@dataclass(frozen=True)
class DictionarySink:
    """A sink that loads a table.

    Attributes:
        name: `serving.name`.
        kind: of the destination, as `Postgres`.
        write: `ByDay`, `Whole` or `EachNewRow`.
        left_out: columns about persons that are not loaded.
        hashed: columns about persons that are loaded as hashes.
        description: what the sink is for.
    """

    name: str
    kind: str
    write: str
    left_out: Sequence[str]
    hashed: Sequence[str]
    description: str


@dataclass(frozen=True)
class DictionaryTable:
    """A table, as it is declared.

    Attributes:
        name: `layer.name`.
        description: the docstring.
        owner: `team:name` or an e-mail address.
        tags: labels, by name.
        key: columns that are unique together.
        day: the column that partitions the table; null where it is refreshed whole.
        write: how rows reach the table, as `Replace`.
        on_broken_rows: whether rows that break the contract go to quarantine or fail the day.
        fresh_within_seconds: how long after its end a day must be there.
        early_every_seconds: how long streams wait at least before open days are computed early again; null where the
            table does not say that they are.
        reads: its inputs, feeds among them.
        feeds: names of the feeds that it reads itself.
        sinks: that load it.
        columns: in order.
    """

    name: str
    description: str
    owner: str
    tags: Mapping[str, str]
    key: Sequence[str]
    day: str | None
    write: str
    on_broken_rows: Policy
    fresh_within_seconds: float
    early_every_seconds: float | None
    reads: Sequence[DictionaryRead]
    feeds: Sequence[str]
    sinks: Sequence[DictionarySink]
    columns: Sequence[DictionaryColumn]


@dataclass(frozen=True)
class DictionaryFeed:
    """A feed, as it is declared.

    Attributes:
        name: of the feed.
        kind: files, a topic, or the Delta table of another team.
        format: how its files are written, as `Csv`; null where it has no files of its own format.
        description: what arrives, how often, from whom.
        owners: of the tables that read it.
        every_day: whether something is to land on every day.
        rows_at_least: how many rows a delivery holds at least.
        read_by: the tables that read it themselves.
    """

    name: str
    kind: Literal["files", "topic", "table"]
    format: str | None
    description: str
    owners: Sequence[str]
    every_day: bool
    rows_at_least: int
    read_by: Sequence[str]


@dataclass(frozen=True)
class DataDictionary:
    """All tables and feeds of a project.

    Attributes:
        version: of all reports in JSON.
        tables: upstream first.
        feeds: by name.
    """

    version: int
    tables: Sequence[DictionaryTable]
    feeds: Sequence[DictionaryFeed]


def dictionary_of(environment: Environment) -> DataDictionary:
    """Say what the declarations of a project say."""
    tables = list(environment.tables.values())
    lineages = known_lineages(environment.settings.home, tables)
    return DataDictionary(
        version=VERSION,
        tables=[_table(environment, table, lineages.get(table.full_name)) for table in tables],
        feeds=[_feed(feed, tables) for _, feed in sorted(environment.feeds.items())],
    )


def _table(environment: Environment, table: Table, lineage: ColumnLineage | None) -> DictionaryTable:
    return DictionaryTable(
        name=table.full_name,
        description=table.description,
        owner=table.owner,
        tags=dict(sorted(table.tags.items())),
        key=table.key,
        day=table.day,
        write=type(table.write).__name__,
        on_broken_rows=table.policy,
        fresh_within_seconds=table.fresh_within.total_seconds(),
        early_every_seconds=table.early_every.total_seconds() if table.early_every else None,
        reads=[_read(read) for read in table.reads],
        feeds=[feed.name for feed in table.feeds],
        sinks=[_sink(one) for one in environment.sinks.values() if one.reads.full_name == table.full_name],
        columns=[_column(table, column, lineage) for column in table.contract.columns],
    )


def _read(read: Read) -> DictionaryRead:
    return DictionaryRead(read.source.full_name, read.before, read.after, read.span)


def _sink(sink: Sink) -> DictionarySink:
    return DictionarySink(
        name=sink.full_name,
        kind=type(sink.to).__name__,
        write=type(sink.how).__name__,
        left_out=sorted(sink.left_out),
        hashed=sorted(sink.hashed),
        description=sink.description,
    )


def _column(table: Table, column: ContractColumn, lineage: ColumnLineage | None) -> DictionaryColumn:
    origins = lineage.columns.get(column.name) if lineage else None
    return DictionaryColumn(
        name=column.name,
        type=column.dtype.simpleString(),
        nullable=column.nullable,
        description=column.description,
        stored=column.stored,
        pii=column.pii,
        constraints=[Constraint(rule.check, rule.text) for rule in table.contract.checks_on(column.name)],
        made_of=None if origins is None else [MadeOf(*one, sorted(how)) for one, how in sorted(origins.items())],
    )


def _feed(feed: Feed, tables: Sequence[Table]) -> DictionaryFeed:
    readers = [table for table in tables if feed in table.feeds]
    return DictionaryFeed(
        name=feed.name,
        kind="topic" if isinstance(feed, TopicFeed) else "files" if isinstance(feed, FileFeed) else "table",
        format=type(feed.format).__name__ if isinstance(feed, FileFeed) else None,
        description=feed.description,
        owners=sorted({table.owner for table in readers}),
        every_day=feed.delivers.every_day,
        rows_at_least=feed.delivers.at_least,
        read_by=[table.full_name for table in readers],
    )
