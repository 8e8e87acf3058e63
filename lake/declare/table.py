"""The declaration of a table: contract, facts and one pure transform.

`@table` turns a function into a `Table` and refuses a malformed declaration at import, naming the file and the remedy.
Nothing here knows Dagster, a Spark session or the clock.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from graphlib import TopologicalSorter
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.code_version import code_version, text_version
from lake.declare.contract import CompiledContract, Contract, compile_contract
from lake.declare.days import Days, Span
from lake.declare.feed import Feed, TopicFeed
from lake.declare.modes import Append, InsertNew, Latest, Replace, Upsert, Write
from lake.declare.names import is_name
from lake.declare.nested import fields_alike, is_nested
from lake.declare.pii import passed_on_without
from lake.errors import DeclarationError

if TYPE_CHECKING:
    from pandera.pyspark import DataFrameModel

__all__ = [
    "INSTEAD_OF_YESTERDAY",
    "LAYERS",
    "RESCUED",
    "ROWS",
    "Append",
    "InsertNew",
    "Latest",
    "OnBroken",
    "Policy",
    "Read",
    "Replace",
    "Rows",
    "Table",
    "Transform",
    "Upsert",
    "Write",
    "can_be_early",
    "discover",
    "is_followable",
    "modules_of",
    "pascal_case",
    "stream_reads",
    "table",
]

LAYERS = ("bronze", "silver", "gold", "serving")
"""The layers in order; a table reads its own layer or an earlier one."""

RESCUED = "_rescued"
"""The one column of a contract whose name begins like that of lineage: fields that the table does not know, JSON."""

ROWS = "*"
"""In `counts`: the rows themselves, instead of a column that is summed."""

Transform = Callable[..., DataFrame]
Policy = Literal["quarantine", "fail"]
Rows = Literal["each", "some", "any"]
"""How many candidates a row of bronze gives: one; at most one (a filter); any number (an explode)."""

INSTEAD_OF_YESTERDAY = (
    "for a running total keep the sum of each day in a table of its own, and add these up in a table with day=None, "
    "which is computed whole: F.sum(...).over(Window.partitionBy(...).orderBy(...))"
)
"""What to do instead of reading a table's own yesterday: a day would wait for all before it, and go stale with them."""

_OWNER = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+", re.ASCII)


@dataclass(frozen=True)
class Read:
    """One input of a table, and the days of it that a day needs.

    Day D is computed from the source's days D - before .. D + after, or from the whole week or month that D is the
    first day of.
    """

    source: Table | Feed
    before: int = 0
    after: int = 0
    span: Span | None = None

    @property
    def name(self) -> str:
        """The parameter name of the transform that receives this input."""
        return self.source.name

    @cached_property
    def is_widened(self) -> bool:
        """Tell whether rows of other days than those computed may be read."""
        is_more = bool(self.before or self.after or self.span)
        return isinstance(self.source, Table) and self.source.reads_by_own_day and is_more

    def needed(self, days: Days) -> Days:
        """Return the source's own days that `days` of the reader need.

        For bronze these are landing days.
        """
        if self.span is not None:
            wholes = [Days.whole(self.span, day) for day in days]
            begun = [whole for whole in wholes if whole.start in days]
            return Days(begun[0].start, begun[-1].end) if begun else Days(days.start, days.start)
        return days.widen(before=self.before, after=self.after)

    def selected(self, days: Days) -> Days:
        """Return the `read_by` values whose rows `days` are computed from.

        `read_by` is the source's column, `days` are those of the reading table.
        """
        return self.needed(days) if self.is_widened else days

    def affected(self, day: date) -> Days:
        """Return the reader's days that a change of the source makes stale.

        The change is of the source's `read_by` day `day`.
        """
        if self.span is not None:
            return Days.of(Days.whole(self.span, day).start)
        if not self.is_widened:
            return Days.of(day)
        return Days.of(day).widen(before=self.after, after=self.before)

    def reached(self, days: Iterable[date]) -> Iterator[list[date]]:
        """Say `affected` of many days at once.

        A range for each takes several times as long. Each list has one day for each of those given, in their
        order.
        """
        if self.span is not None:
            yield [Days.whole(self.span, day).start for day in days]
            return
        first, last = (-self.after, self.before) if self.is_widened else (0, 0)
        given = list(days)
        yield from ([day + timedelta(days=number) for day in given] for number in range(first, last + 1))


@dataclass(frozen=True, eq=False)
class Table:
    """A declared table, which runs its transform when it is called.

    Call it with one frame per read: `departures(frame)`.

    Attributes:
        layer: bronze, silver, gold or serving: the folder that declares it.
        name: the function's and file's name.
        transform: pure and lazy; frames in the order of `reads`.
        reads: inputs in order.
        contract: the compiled contract.
        key: columns that are unique in the table.
        day: DATE column that partitions the table; None for a dimension that is always refreshed whole.
        write: how rows reach the table.
        day_of: the key column that the day follows from, where the day itself is not in the key.
        read_by: DATE column by which readers select rows.
        event_time: TIMESTAMP column that a stream's watermark follows.
        lateness: how late a row may be and still reach an open day of a stream.
        policy: what happens to rows that break the contract.
        fresh_within: how long after its end a day must be in the table.
        owner: `team:name` or an e-mail address.
        counts: what must agree with an input, for the check `row_count`: the sum of a column over a day with the rows
            of that input's day; `ROWS`, the rows of a day, with the keys of this table that the input holds.
        rows: how many candidates the rows of the bronze table give that it reads, for the same check.
        tags: free labels for the catalog.
        early_every: how long the streams of a lake wait at least before they compute its open days again, early; of a
            table that is batch only. None: they do so only where the table is named.
    """

    layer: str
    name: str
    transform: Transform
    reads: tuple[Read, ...]
    contract: CompiledContract
    key: tuple[str, ...]
    day: str | None
    write: Write
    day_of: str | None
    read_by: str | None
    event_time: str | None
    lateness: timedelta | None
    policy: Policy
    fresh_within: timedelta
    owner: str
    counts: Mapping[str, Table] = field(default_factory=dict)
    rows: Rows = "each"
    tags: Mapping[str, str] = field(default_factory=dict)
    early_every: timedelta | None = None

    def __call__(self, *frames: DataFrame) -> DataFrame:
        return self.transform(*frames)

    def __repr__(self) -> str:
        return f"<Table {self.full_name}>"

    def days(self, *, before: int = 0, after: int = 0) -> Read:
        """Declare that a day of the reader needs this table's days around it.

        Day D of the reader needs the days D - before .. D + after.
        """
        return Read(self, before, after)

    def week(self) -> Read:
        """Declare that a reader's days are Mondays that need their whole weeks."""
        return Read(self, span="week")

    def month(self) -> Read:
        """Declare that a reader's days begin months and need all of them."""
        return Read(self, span="month")

    @cached_property
    def span(self) -> Span | None:
        """The week or month that a day begins, None where it stands alone."""
        return next((read.span for read in self.reads if read.span), None)

    def days_of(self, day: date) -> Days:
        """Return the week or month of a calendar day, or the day alone."""
        return Days.of(day) if self.span is None else Days.whole(self.span, day)

    def own_days(self, days: Days) -> list[date]:
        """Return the days of the table to which some calendar days belong."""
        return list(days) if self.span is None else sorted({self.days_of(day).start for day in days})

    def own_range(self, days: Days) -> Days:
        """Return the range of `own_days`."""
        return Days(self.days_of(days.start).start, self.days_of(days.last).start + timedelta(days=1)) if days else days

    @cached_property
    def full_name(self) -> str:
        """`layer.name`, as in SQL and on the command line."""
        return f"{self.layer}.{self.name}"

    @property
    def schema(self) -> T.StructType:
        """The columns that its readers receive, as a feed's."""
        return self.contract.schema

    @property
    def path(self) -> str:
        """The table's folder under the root of all tables: `layer/name`."""
        return f"{self.layer}/{self.name}"

    @property
    def reads_by_own_day(self) -> bool:
        """Tell whether readers select rows by the day that partitions the table.

        Of bronze they do not: they select by the claimed event day.
        """
        return self.read_by == self.day

    @property
    def is_row_by_row(self) -> bool:
        """Tell whether each row of one bronze table is a candidate by itself."""
        first = self.reads[0].source
        chooses = self.day is None and not self.write.order
        return isinstance(first, Table) and first.layer == "bronze" and len(self.reads) == 1 and not chooses

    @cached_property
    def inputs(self) -> Sequence[Table]:
        """The tables that it reads, in order."""
        return tuple(read.source for read in self.reads if isinstance(read.source, Table))

    @cached_property
    def feeds(self) -> Sequence[Feed]:
        """The feeds that it reads, in order."""
        return tuple(read.source for read in self.reads if isinstance(read.source, Feed))

    @property
    def topics(self) -> list[TopicFeed]:
        """The topics among its feeds."""
        return [feed for feed in self.feeds if isinstance(feed, TopicFeed)]

    @property
    def partition_columns(self) -> list[str]:
        """The Delta partition columns.

        These are the day, and for bronze also the event day that readers select by.
        """
        columns = [self.day, self.read_by]
        return list(dict.fromkeys(column for column in columns if column is not None))

    @cached_property
    def description(self) -> str:
        """The docstring of the transform."""
        return inspect.getdoc(self.transform) or ""

    @cached_property
    def code_version(self) -> str:
        """Return a hash of the declaring file's code and of what it imports.

        Of its package only, and not of modules that declare tables: what they compute reaches this one as rows.
        """
        return code_version(self.transform.__module__, _declares_table)

    def is_computed_by(self, version: str) -> bool:
        """Tell whether a version is that of the code as it is now.

        An earlier release may have taken it in another way.
        """
        # Texts are read for a version only that the code as it is does not have.
        return version == self.code_version or version == text_version(self.transform.__module__, _declares_table)


def _declares_table(module: ModuleType) -> bool:
    things = vars(module).values()
    return any(isinstance(thing, Table) and thing.transform.__module__ == module.__name__ for thing in things)


def table(
    *,
    reads: Sequence[Table | Feed | Read],
    contract: type[Contract | DataFrameModel[Any]],
    key: Sequence[str],
    day: str | None,
    write: Write,
    fresh_within: timedelta,
    owner: str,
    day_of: str | None = None,
    read_by: str | None = None,
    event_time: str | None = None,
    lateness: timedelta | None = None,
    policy: Policy = "quarantine",
    counts: Mapping[str, Table] | None = None,
    rows: Rows = "each",
    tags: Mapping[str, str] | None = None,
    early_every: timedelta | None = None,
    layer: str | None = None,
) -> Callable[[Transform], Table]:
    """Declare a table whose layer is the folder of the declaring file.

    See `Table` for the facts.

    Raises:
        DeclarationError: the declaration contradicts itself; the message names the file and the remedy.
        CannotCompile: a check of the contract has no Spark equivalent.
    """

    def declare(transform: Transform) -> Table:
        for item in _strange(reads):
            problem = f"{transform.__name__}: reads {item!r}, which is no table and no feed"
            remedy = f"import the table and name it; {INSTEAD_OF_YESTERDAY}"
            raise DeclarationError(_file_of(transform), problem, remedy)
        inputs = tuple(item if isinstance(item, Read) else Read(item) for item in reads)
        declared = Table(
            layer=layer or transform.__module__.split(".")[-2:][0],
            name=transform.__name__,
            transform=transform,
            reads=inputs,
            contract=compile_contract(contract),
            key=tuple(key),
            day=day,
            write=write,
            day_of=day_of,
            read_by=read_by or day,
            event_time=event_time,
            lateness=lateness,
            policy=policy,
            fresh_within=fresh_within,
            owner=owner,
            counts=dict(counts or {}),
            rows=rows,
            tags=dict(tags or {}),
            early_every=early_every,
        )
        for problem, remedy in _problems(declared, contract.__name__):
            raise DeclarationError(_file_of(transform), f"{declared.name}: {problem}", remedy)
        return declared

    return declare


def _strange(reads: Sequence[object]) -> list[object]:
    return [item for item in reads if not isinstance(item, Table | Feed | Read)]


Problem = tuple[str, str]


def _problems(declared: Table, contract: str) -> Iterator[Problem]:
    yield from _name_problems(declared, contract)
    yield from _read_problems(declared)
    yield from _column_problems(declared)
    yield from passed_on_without(
        declared.contract, declared.partition_columns, ((one.full_name, one.contract) for one in declared.inputs)
    )
    yield from _count_problems(declared)
    yield from _stream_problems(declared)


def _name_problems(declared: Table, contract: str) -> Iterator[Problem]:
    file = _file_of(declared.transform).replace("\\", "/").rsplit("/", 1)[-1]
    if not is_name(declared.name):
        yield "is not a table name", "use lower case letters, digits and underscores, at most 63 characters"
    if declared.layer not in LAYERS:
        yield f"lies in {declared.layer!r}, which is no layer", f"move the file into one of {', '.join(LAYERS)}"
    package = declared.transform.__module__.split(".")[:-1]
    if len(package) > 1 and package[-1] in LAYERS and file != f"{declared.name}.py":
        yield f"is declared in {file}", f"name function and file alike: {declared.name}.py"
    if contract != pascal_case(declared.name):
        yield f"has the contract {contract}", f"name the contract {pascal_case(declared.name)}"
    if not _OWNER.fullmatch(declared.owner):
        yield f"has the owner {declared.owner!r}", 'write owner="team:name" or an e-mail address'
    if not declared.description.startswith("One row per"):
        yield "does not say what a row is", 'begin the docstring with "One row per ..."'
    if declared.fresh_within <= timedelta(0):
        yield "is never fresh", "give fresh_within a positive timedelta"


def _file_of(transform: Transform) -> str:
    """Find the file that declares a table, by the function that is written there."""
    return inspect.getfile(inspect.unwrap(transform))


def _read_problems(declared: Table) -> Iterator[Problem]:
    parameters = list(inspect.signature(declared.transform).parameters)
    names = [read.name for read in declared.reads]
    if not names:
        yield "reads nothing", "name at least one feed or table in reads"
    if declared.name in {*parameters, *names}:
        yield "reads itself", INSTEAD_OF_YESTERDAY
    if parameters != names:
        yield f"has the parameters {parameters} and reads {names}", "name the parameters as the reads, in their order"
    for read in declared.reads:
        yield from _one_read_problems(declared, read)


def _one_read_problems(declared: Table, read: Read) -> Iterator[Problem]:
    if read.before < 0 or read.after < 0:
        yield f"reads {read.name} with negative days", "before and after count days, 0 or more"
    if isinstance(read.source, Feed):
        if declared.layer != "bronze":
            yield f"reads the feed {read.name}", "let a bronze table read the feed, and read that table"
    elif LAYERS.index(read.source.layer) > LAYERS.index(declared.layer):
        yield f"reads {read.source.full_name} of a later layer", "move one of the two tables"
    elif (read.source.day is None or declared.day is None) and (read.before or read.after or read.span):
        yield (
            f"reads days of {read.name} around its own, but one of the two has no days",
            "drop before and after, week() and month()",
        )
    elif declared.span is not None:
        yield from _span_problems(declared, read, read.source)


def _span_problems(declared: Table, read: Read, source: Table) -> Iterator[Problem]:
    """Find what a table of weeks or months cannot read, or be."""
    span = declared.span
    if not source.reads_by_own_day:
        yield f"reads a {span} of {source.full_name}", "let a silver table read it, and read that one"
    elif span not in (read.span, source.span):
        yield f"has a day for each {span} and reads single days of {source.full_name}", f"read {source.name}.{span}()"
    if declared.write.streamable:
        yield f"has a day for each {span}, of which a stream never has all", "use write=Replace(), for batch only"


def _column_problems(declared: Table) -> Iterator[Problem]:
    contract = declared.contract
    stored = set(contract.stored_names)
    for column in contract.columns:
        if not column.description:
            yield f"column {column.name} has no description", "describe it, with its unit"
        if not is_name(column.name) and column.name != RESCUED:
            yield f"column {column.name} is not a column name", "use lower case letters, digits and underscores"
        for one, other in fields_alike(column.dtype):
            yield (
                f"column {column.name} has the fields {one} and {other}, which Delta and Spark do not tell apart",
                "give them names that differ in more than upper and lower case",
            )
    yield from _key_problems(declared, stored)
    if declared.day and not {declared.day, declared.day_of} & set(declared.key):
        # A key seen at 23:58 and 00:02 would give two rows day by day and one in a range.
        yield (
            "could hold one key on two days",
            "put the day into the key, or name in day_of the key column it follows from",
        )
    for name in declared.partition_columns:
        found = contract.column(name)
        if name not in stored or found is None or found.nullable or not isinstance(found.dtype, T.DateType):
            yield f"the day column {name!r} is not a stored, non-null DATE of the contract", "add it to the contract"


def _key_problems(declared: Table, stored: set[str]) -> Iterator[Problem]:
    for name in declared.key or ("",):
        found = declared.contract.column(name)
        if name not in stored:
            yield f"the key column {name!r} is not stored by the contract", f"name columns among {sorted(stored)}"
        elif found is not None and found.nullable:
            yield f"the key column {name} is nullable", "drop nullable=True; a key is always known"
        elif found is not None and is_nested(found.dtype):
            yield f"the key column {name} is a {found.dtype.typeName()}", "name columns of single values"


def _count_problems(declared: Table) -> Iterator[Problem]:
    if declared.rows not in get_args(Rows):
        yield f"states rows={declared.rows!r}", f"write one of {', '.join(get_args(Rows))}"
    elif declared.rows != "each" and declared.reads and not declared.is_row_by_row:
        yield f"states rows={declared.rows!r}, and its rows are not those of one bronze table", "drop rows"
    sources = [read.source for read in declared.reads]
    for name, source in declared.counts.items():
        column = declared.contract.column(name)
        lacking = {*declared.key, declared.day} - set(source.contract.stored_names)
        if source not in sources or source.day is None or declared.day is None:
            yield f"counts {source.full_name}", "count a table with days among its reads"
        elif name == ROWS and lacking:
            yield (
                f"would have a row for each key of {source.name}, which lacks {sorted(map(str, lacking))}",
                ("name an input that holds the key and the day"),
            )
        elif name != ROWS and (column is None or not isinstance(column.dtype, T.IntegralType)):
            yield f"counts {source.name} by {name!r}, which is no whole number of its contract", "name such a column"


def _stream_problems(declared: Table) -> Iterator[Problem]:
    column = declared.contract.column(declared.event_time) if declared.event_time else None
    if declared.event_time and (column is None or not isinstance(column.dtype, T.TimestampType)):
        yield f"the event time {declared.event_time!r} is not a TIMESTAMP of the contract", "name a column <event>_at"
    if (declared.event_time is None) != (declared.lateness is None):
        yield "states only one of event_time and lateness", "a watermark needs both"
    yield from declared.write.problems(declared.contract, declared.layer, declared.day)
    if declared.write.keeps_everything and declared.layer != "bronze":
        yield "appends outside of bronze", "use InsertNew, Upsert or Replace"
    for source in _upserted_by_streams(declared):
        remedy = "read what that one is computed from, or use write=Replace(), which is for batch only"
        yield f"would read {source.full_name} while a stream upserts it, and an upsert hides the new rows", remedy
    if declared.early_every is not None:
        yield from _early_problems(declared, declared.early_every)
    for source in _reached_over(declared):
        remedy = "read the day itself, or use InsertNew with the group as key, or Replace, which is for batch only"
        yield f"would upsert groups of several days of {source.full_name}, of which some may be sealed", remedy


def _early_problems(declared: Table, every: timedelta) -> Iterator[Problem]:
    if every <= timedelta(0):
        yield "would be computed early without a pause", "give early_every a positive timedelta"
    if not can_be_early(declared):
        remedy = "drop it: it is for a batch-only table with days that are computed from days of a stream"
        yield "states early_every, and none of its days is ever early", remedy


def _upserted_by_streams(declared: Table) -> list[Table]:
    """Return the inputs that no stream can read.

    None where the table itself does not run as a stream.
    """
    sources = [read.source for read in declared.reads] if is_followable(declared) else []
    upserted = [source for source in sources if isinstance(source, Table) and _hides_news(source)]
    return [source for source in upserted if stream_reads(source)]


def _reached_over(declared: Table) -> list[Table]:
    """Return the streamed inputs of which a group would span several days.

    The group is one of an upserted table. A sealed day is dropped from what a stream reads, so that such a group would
    be computed from a part of its rows.
    """
    widened = [read.source for read in stream_reads(declared) if read.is_widened and _hides_news(declared)]
    return [source for source in widened if isinstance(source, Table) and source.write.order]


def _hides_news(table: Table) -> bool:
    """Tell whether a stream that writes the table changes rows in place.

    Its readers do not see such changes.
    """
    return table.write.streamable and not table.write.only_adds


def is_followable(table: Table) -> bool:
    """Tell whether a table can run as a stream.

    It is not batch only, has days or none as its mode asks, and a topic leads to it.
    """
    is_whole = table.day is None
    return table.write.streamable and is_whole != table.write.has_days and bool(stream_reads(table))


def can_be_early(table: Table) -> bool:
    """Tell whether batch can compute days of a table before they are complete.

    It is batch only and has days, and streams own days that these are computed from.
    """
    return table.day is not None and not is_followable(table) and any(map(_has_open_days, table.inputs))


def _has_open_days(source: Table) -> bool:
    """Tell whether streams can own days that lead to a table.

    They may be its own, or those of what it is computed from. Of bronze it is never asked: batch reads it at any time.
    """
    if source.write.keeps_everything:
        return False
    return is_followable(source) or any(map(_has_open_days, source.inputs))


def stream_reads(table: Table) -> list[Read]:
    """Return the inputs that a stream of this table reads as streams.

    It reads the others as they are at each micro-batch. Only tables whose commits add rows can be read as streams,
    because an upsert hides the new rows of its commit.
    """
    return [read for read in table.reads if isinstance(read.source, TopicFeed) or _is_readable_stream(read.source)]


def _is_readable_stream(source: object) -> bool:
    return isinstance(source, Table) and source.write.only_adds and is_followable(source)


def pascal_case(name: str) -> str:
    """Name the contract of a table."""
    return "".join(part.capitalize() for part in name.split("_"))


OnBroken = Callable[[str, Exception], None]


def discover(package: ModuleType, on_broken: OnBroken | None = None) -> dict[str, Table]:
    """Import the layer packages and return their tables, upstream first.

    Args:
        package: the layers lie in it.
        on_broken: told of each module that cannot be imported, which is then left out; None: the first one raises.

    Returns:
        `layer.name` -> table; tables of equal rank in the order of layer and name.
    """
    by_name: dict[str, Table] = {}
    for module in modules_of(package, on_broken):
        tables = (thing for thing in vars(module).values() if isinstance(thing, Table))
        by_name |= {t.full_name: t for t in tables if t.transform.__module__ == module.__name__}
    return {declared.full_name: declared for declared in _upstream_first(by_name.values())}


def modules_of(package: ModuleType, on_broken: OnBroken | None, layers: Sequence[str] = LAYERS) -> Iterator[ModuleType]:
    """Import the modules of some layers of a package.

    A module that cannot be imported is dealt with as `discover` says.
    """
    for layer in layers:
        home = _or_broken(_layer_package, f"{package.__name__}.{layer}", on_broken)
        for info in pkgutil.iter_modules(home.__path__, f"{home.__name__}.") if home else ():
            if module := _or_broken(_import_tables, info.name, on_broken):
                yield module


def _or_broken(load: Callable[[str], ModuleType | None], name: str, on_broken: OnBroken | None) -> ModuleType | None:
    try:
        return load(name)
    except Exception as error:  # a table file may fail in any way, and the other tables are to go on
        if on_broken is None:
            raise
        on_broken(name, error)
        return None


def _import_tables(name: str) -> ModuleType:
    """Import a file of tables.

    A fact that `@table` lacks or does not know is told like any other malformed one.
    """
    try:
        return importlib.import_module(name)
    except NameError as error:
        if error.name != name.rpartition(".")[2]:
            raise
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        raise DeclarationError(
            frame.f_code.co_filename, f"line {line}: {error.name}: reads itself", INSTEAD_OF_YESTERDAY
        ) from error
    except TypeError as error:
        called = re.match(r"(table|received|sink)\(\) ", str(error))
        if called is None:
            raise
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        facts = inspect.signature(frame.f_globals.get(called[1], table)).parameters.values()
        required = ", ".join(fact.name for fact in facts if fact.default is fact.empty)
        optional = ", ".join(fact.name for fact in facts if fact.default is not fact.empty)
        at = "" if called[1] == "sink" else "@"
        problem = f"line {line}: {str(error).replace(f'{called[1]}()', f'{at}{called[1]}')}"
        remedy = f"state {required}; and where needed {optional}"
        raise DeclarationError(frame.f_code.co_filename, problem, remedy) from error


def _layer_package(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise


def _upstream_first(tables: Iterable[Table]) -> list[Table]:
    known = sorted(tables, key=lambda t: (LAYERS.index(t.layer), t.name))
    sorter = TopologicalSorter({t: [r.source for r in t.reads if isinstance(r.source, Table)] for t in known})
    return [t for t in sorter.static_order() if t in known]
