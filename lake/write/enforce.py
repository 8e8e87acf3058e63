"""Enforce a table's contract and key, in the pass that writes the rows.

Every candidate row is accepted, rejected (it breaks the contract) or a duplicate (its key has an earlier row):
rows in = rows accepted + rejected + duplicates. The three are counted by an observation, which costs no Spark job.
Duplicates that say something else than the row which is kept are counted where the dropped rows are looked at.
Batch and stream both go through here; a micro-batch is an ordinary frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyarrow import compute as pc
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql.pandas.types import to_arrow_schema

from lake.declare.contract import CompiledContract
from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import RowsWithoutDay
from lake.write.bounded import Bounded
from lake.write.horizon import Horizon, Limits
from lake.write.key_order import IS_VALID, PLACE_IN_KEY, day_and_key, first_by_key, has_unordered_repeats, places

__all__ = [
    "DISAGREES",
    "NOTHING_DROPPED",
    "NO_DAY",
    "QUARANTINE",
    "Collected",
    "Counts",
    "Dropped",
    "Enforced",
    "Enforcer",
    "day_within",
    "enforce",
]

QUARANTINE = T.StructType(
    [
        T.StructField("day", T.DateType(), True, {"comment": "day under which the row is filed"}),
        T.StructField(
            "rules", T.ArrayType(T.StringType(), False), False, {"comment": "rules it breaks, as column:check"}
        ),
        T.StructField("raw", T.StringType(), True, {"comment": "the message or line as received, where there is one"}),
        T.StructField("row", T.StringType(), False, {"comment": "the row as the transform gave it, JSON"}),
    ]
)
"""Columns of every quarantine table."""

DISAGREES = "_disagrees"
"""Column that says of a duplicate whether it differs from the row that is kept, in a column that is stored."""
LANDED_ON = "_landed_on"
"""Lineage column with the day on which the line landed that a row was read from."""
NO_DAY = "a row has no day and no _event_date under which it could be filed:"
"""How the job fails that meets such a row. A rerun could not replace it in the quarantine, so nothing is written."""


@dataclass(frozen=True)
class Counts:
    """The counts of candidate rows by their fate.

    rows_in = rows_out + rejected + duplicates.

    Attributes:
        disagreeing: how many of the duplicates differ from the first row of their key; counted by day, in batch, and no
            part of the account: two counts that differ in it alone are equal. Of tables without days only lines that
            landed on the day of the one that is kept.
    """

    rows_in: int = 0
    rows_out: int = 0
    rejected: int = 0
    duplicates: int = 0
    disagreeing: int = field(default=0, compare=False, repr=False)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.rows_in + other.rows_in,
            self.rows_out + other.rows_out,
            self.rejected + other.rejected,
            self.duplicates + other.duplicates,
            self.disagreeing + other.disagreeing,
        )


@dataclass(frozen=True)
class Dropped:
    """The rows of one enforcement that were not accepted, in this process.

    Attributes:
        rows: the columns of `QUARANTINE`, all but `day` null for duplicates, and `DISAGREES`.
    """

    rows: pa.Table

    @property
    def rejected(self) -> pa.Table:
        """The rejected rows, in the columns of `QUARANTINE`."""
        return self.rows.filter(pc.field("rules").is_valid()).select(QUARANTINE.names)

    @property
    def disagreeing(self) -> int:
        """The number of duplicates that differ from the row that is kept."""
        return int(self.rows.filter(pc.field(DISAGREES)).num_rows)

    def counts(self, written: Mapping[date | None, int]) -> dict[date | None, Counts]:
        """Counts by day, given the rows that were written by day."""
        differing = self.rows.filter(pc.field(DISAGREES))
        rejected, disagreeing, dropped = (
            Counter(rows.column("day").to_pylist()) for rows in (self.rejected, differing, self.rows)
        )
        return {
            day: _counts(
                written.get(day, 0) + dropped[day], rejected[day], dropped[day] - rejected[day], disagreeing[day]
            )
            for day in {*written, *dropped}
        }

    def rules(self) -> dict[str, int]:
        """Count the rejected rows that broke each rule, most first."""
        broken = Counter(pc.list_flatten(self.rejected.column("rules")).to_pylist())
        return dict(sorted(broken.items(), key=lambda item: (-item[1], item[0])))


# No empty_table(): where pyarrow makes an array, it imports pandas.
NOTHING_DROPPED = Dropped(
    pa.Table.from_batches([], to_arrow_schema(QUARANTINE).append(pa.field(DISAGREES, pa.bool_())))
)


@dataclass(frozen=True)
class Enforced:
    """Candidate rows flagged with their verdicts, before anything has run.

    Attributes:
        table: whose contract and key.
        flagged: the candidate rows with their verdict columns.
        observation: counts, known once `accepted` has been written.
        edge: rules of the clock and the calendar; None where nobody told them.
    """

    table: Table
    flagged: DataFrame
    observation: Observation
    edge: CompiledContract | None = None

    def accepted(self, *, fail_on_reject: bool = False) -> DataFrame:
        """Return the rows to write, with exactly the stored columns of the contract.

        Args:
            fail_on_reject: stop the job at the first row that breaks the contract, before anything is committed.
        """
        observed = self.flagged.observe(
            self.observation,
            F.count(F.lit(1)).alias("rows_in"),
            F.count_if(~F.col(IS_VALID)).alias("rejected"),
            F.count_if(self._is_duplicate()).alias("duplicates"),
        )
        keep = F.col(IS_VALID) & (F.col(PLACE_IN_KEY) == 1)
        if fail_on_reject:
            keep = F.when(F.col(IS_VALID), keep).otherwise(F.raise_error(F.lit("a row breaks the contract")))
        return observed.where(keep).select(*self.table.contract.stored_names)

    def again(self) -> Enforced:
        """Return the same rows for another job.

        An observation belongs to one job.
        """
        return replace(self, observation=Observation())

    def rejected(self) -> DataFrame:
        """Return the rows that break the contract, in the columns of `QUARANTINE`."""
        shown = (column.alias(field.name) for field, column in zip(QUARANTINE, self._shown(), strict=True))
        return self.flagged.where(~F.col(IS_VALID)).select(*shown)

    def _shown(self) -> list[Column]:
        """Return a candidate row in the columns of `QUARANTINE`."""
        columns = self.flagged.columns
        raw = F.col("_raw") if "_raw" in columns else F.lit(None).cast("string")
        row = F.struct(*(name for name in columns if name not in {"_raw", IS_VALID, PLACE_IN_KEY}))
        rules = _broken_rules(self.table, self.edge)
        return [self._filing_day(), rules, raw, F.to_json(row, {"ignoreNullFields": "false"})]

    def dropped(self) -> Dropped:
        """Collect the rows that are not accepted, in a Spark job of its own.

        For a number of rows that fits in memory.
        """
        valid = F.col(IS_VALID)
        rejected = {field.name: F.when(~valid, column) for field, column in zip(QUARANTINE, self._shown(), strict=True)}
        shown = rejected | {"day": self._filing_day(), DISAGREES: F.col(DISAGREES)}
        rows = self._compared().where(~valid | (F.col(PLACE_IN_KEY) > 1))
        return Dropped(rows.select(*(column.alias(name) for name, column in shown.items())).toArrow())

    def observed(self) -> Counts:
        """Totals, once `accepted` has been written."""
        seen = self.observation.get
        rows_in, rejected, duplicates = (int(seen[name] or 0) for name in ("rows_in", "rejected", "duplicates"))
        return Counts(rows_in, rows_in - rejected - duplicates, rejected, duplicates)

    def counts_by_day(self) -> dict[date | None, Counts]:
        """Count by day, in a Spark job of its own.

        Needed only where rows were dropped.
        """
        day = self._filing_day() if self.table.day else F.lit(None).cast("date")
        grouped = (
            self._compared()
            .groupBy(day.alias("day"))
            .agg(
                F.count(F.lit(1)).alias("rows_in"),
                F.count_if(~F.col(IS_VALID)).alias("rejected"),
                F.count_if(self._is_duplicate()).alias("duplicates"),
                F.count_if(DISAGREES).alias("disagreeing"),
            )
        )
        return {row["day"]: _counts(*row[1:]) for row in grouped.collect()}

    def rules(self) -> dict[str, int]:
        """Count the rejected rows that broke each rule, most first.

        It takes a Spark job of its own.
        """
        rules = self.rejected().select(F.explode("rules").alias("rule")).groupBy("rule").count()
        return {row["rule"]: row["count"] for row in rules.orderBy(F.desc("count"), "rule").collect()}

    def _compared(self) -> DataFrame:
        """Return the candidate rows with `DISAGREES`.

        It is one more column of the window that finds their places. A table without days keeps the newest line, so that
        older ones differ as a matter of course. There a duplicate disagrees where it landed on the same day as the row
        that is kept.
        """
        says = F.struct(*(self.table.contract.comparable(name).alias(name) for name in _said(self.table)))
        differs = self._is_duplicate() & ~says.eqNullSafe(self._kept(says))
        if self.table.day is None:
            landed = F.col(LANDED_ON) if LANDED_ON in self.flagged.columns else F.lit(None).cast("date")
            differs = differs & F.coalesce(landed == self._kept(landed), F.lit(False))
        return self.flagged.withColumn(DISAGREES, differs)

    def _kept(self, value: Column) -> Column:
        return F.first(value).over(places(self.table))

    def _is_duplicate(self) -> Column:
        return F.col(IS_VALID) & (F.col(PLACE_IN_KEY) > 1)

    def _filing_day(self) -> Column:
        day = F.col(self.table.day) if self.table.day else F.lit(None).cast("date")
        return F.coalesce(F.col("_event_date"), day) if "_event_date" in self.flagged.columns else day


def _broken_rules(table: Table, edge: CompiledContract | None) -> Column:
    """Return the names of the rules that a row breaks.

    Clock and calendar are asked last, because their answers change: what is rejected anyway is rejected for the same
    reasons whenever it is looked at.
    """
    own = table.contract.broken_rules()
    return own if edge is None else F.when(F.size(own) == 0, edge.broken_rules()).otherwise(own)


def _counts(rows_in: int, rejected: int, duplicates: int, disagreeing: int = 0) -> Counts:
    return Counts(rows_in, rows_in - rejected - duplicates, rejected, duplicates, disagreeing)


@dataclass(frozen=True)
class Collected:
    """Candidate rows in this process, each with its verdict.

    Attributes:
        table: whose contract and key.
        judged: the candidate rows with `IS_VALID`.
        frame: what they were collected from.
        edge: rules of the clock and the calendar; None where nobody told them.
    """

    table: Table
    judged: pa.Table
    frame: DataFrame
    edge: CompiledContract | None = None

    @cached_property
    def accepted(self) -> pa.Table:
        """The rows to write, with exactly the stored columns of the contract."""
        valid = self.judged.filter(pc.field(IS_VALID))
        return first_by_key(valid, self.table).select(self.table.contract.stored_names)

    @cached_property
    def counts(self) -> Counts:
        """Totals."""
        rows, broken = self.judged.num_rows, self._broken.num_rows
        return _counts(rows, broken, rows - broken - self.accepted.num_rows)

    def rejected(self) -> DataFrame:
        """Return the rows that break the contract, as `QUARANTINE` has them.

        Computes no other row again.
        """
        broken = self.frame.sparkSession.createDataFrame(self._broken, self.frame.schema)
        return Enforced(self.table, broken, Observation(), self.edge).rejected()

    @cached_property
    def _broken(self) -> pa.Table:
        return self.judged.filter(~pc.field(IS_VALID))


def enforce(
    table: Table, rows: DataFrame, days: Days | None, *, partitions: int, horizon: Horizon | None = None
) -> Enforced:
    """Flag each candidate row.

    Arguments and errors as for a call of `Enforcer`, which keeps what it builds.
    """
    return Enforcer(table)(rows, days, partitions=partitions, horizon=horizon)


@dataclass(frozen=True)
class Enforcer:
    """Enforces the contract and the key of one table.

    What it asks of a row is built once, call by call between Python and the JVM; a stream asks it several times a
    second.

    Attributes:
        table: whose contract and key.
    """

    table: Table
    _edges: dict[tuple[Limits, bool], tuple[CompiledContract, Column]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __call__(
        self, rows: DataFrame, days: Days | None, *, partitions: int, horizon: Horizon | None = None
    ) -> Enforced:
        """Flag each candidate row, lazily.

        Args:
            rows: what the transform gave: the contract's columns, and lineage columns (`_...`). One without a day
                fails the job with `NO_DAY`, unless its `_event_date` says where to file it.
            days: keep only these days where the transform reads around them; None keeps all.
            partitions: how many tasks write; each day is written by one of them.
            horizon: which times are believed; None: all.

        Raises:
            SchemaDrift: the columns are not those of the contract.
        """
        table = self.table
        table.contract.check_schema(rows, table.full_name)
        if days is not None and table.day and any(read.is_widened and not read.span for read in table.reads):
            rows = rows.where(F.coalesce(day_within(table.day, days), F.lit(True)))
        if table.day and "_event_date" not in rows.columns:
            rows = rows.withColumn(table.day, self._day_there)
        rows, edge = self._judged(rows, horizon)
        if table.day:
            # One shuffle by day serves both the key (each lies in one day) and the files (one task writes a day). A
            # single task has all days anyway.
            rows = rows.repartition(partitions, table.day) if partitions > 1 else rows.coalesce(1)
        flagged = rows.withColumn(PLACE_IN_KEY, self._place)
        # A table without days is a dimension: one file.
        return Enforced(table, flagged if table.day else flagged.coalesce(1), Observation(), edge)

    def collect(self, rows: DataFrame, bounded: Bounded, horizon: Horizon | None = None) -> Collected | None:
        """Take rows into this process, each with its verdict, in one Spark job.

        None where they are out of bounds: then Spark writes them, however many and large they are. None too where the
        rows of a key are ordered by what only Spark puts in order.
        The order of the rows of a key is found here; to plan that would cost Spark more than to check the contract.

        Args:
            rows: as for a call, on one partition, with the columns of one that was made before.
            bounded: how many, and how large.
            horizon: as for a call.

        Raises:
            RowsWithoutDay: nothing says where to file a row.
        """
        judged, edge = self._judged(rows, horizon)
        found = bounded.take(judged)
        if found is None:
            return None
        day = self.table.day
        if day and "_event_date" not in found.column_names and found.column(day).null_count:
            raise RowsWithoutDay(self.table.full_name, day)
        if has_unordered_repeats(found, self.table):
            return None
        return Collected(self.table, found, judged, edge)

    def _judged(self, rows: DataFrame, horizon: Horizon | None) -> tuple[DataFrame, CompiledContract | None]:
        """Return the rows with their verdicts, and the rules of the edge."""
        if horizon is None:
            return rows.withColumn(IS_VALID, self._is_valid), None
        edge, is_valid = self._edge(horizon, is_filed="_event_date" in rows.columns)
        return horizon.in_reach(rows, self.table).withColumn(IS_VALID, is_valid), edge

    def _edge(self, horizon: Horizon, *, is_filed: bool) -> tuple[CompiledContract, Column]:
        """Return the rules of clock and calendar.

        With them comes the question whether a row keeps these and the contract's.
        """
        asked = (horizon.limits(self.table), is_filed)
        if asked not in self._edges:
            self._edges.clear()
            edge = horizon.rules(self.table, is_filed=is_filed)
            self._edges[asked] = edge, self._is_valid & edge.is_satisfied()
        return self._edges[asked]

    @cached_property
    def _is_valid(self) -> Column:
        return self.table.contract.is_satisfied()

    @cached_property
    def _place(self) -> Column:
        return F.row_number().over(places(self.table))

    @cached_property
    def _day_there(self) -> Column:
        day = str(self.table.day)
        return F.coalesce(day, F.raise_error(F.lit(f"{NO_DAY} {self.table.full_name}")).cast("date"))


def _said(table: Table) -> list[str]:
    """Return the stored columns in which rows of one day and key can disagree."""
    return [name for name in table.contract.stored_names if name not in day_and_key(table)]


def day_within(column: str, days: Days) -> Column:
    """Return a condition with literal dates.

    By these Delta prunes files.
    """
    return (F.col(column) >= F.lit(days.start)) & (F.col(column) < F.lit(days.end))
