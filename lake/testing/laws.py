"""The laws that every table obeys, for the tests of a project.

One lake is computed in one go. Another is computed from the same landing files, delivered twice and in another order,
day by day from the last on and with Spark's interpreter in place of its generated code; at its end a day is computed
again. Both must hold the same rows:

    @pytest.mark.parametrize("obeyed", LAWS, ids=lambda law: law.__name__)
    @pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
    def test_every_table_obeys(lakes: ComputedTwice, obeyed: Law, table: Table) -> None:
        obeyed(lakes, table)
"""

from __future__ import annotations

import hashlib
import hmac
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from lake.batch.refresh import Receipt
from lake.commands.query import connect
from lake.declare.days import Day, Days
from lake.declare.feed import Feed
from lake.declare.landed import landing_day
from lake.declare.sink import Sink
from lake.declare.sql_text import literal
from lake.declare.table import Table
from lake.serve.arrow_schema import names_and_types
from lake.serve.plain import as_json, plain
from lake.serve.sums import json_text, without_nulls
from lake.serve.target import Place, open_target
from lake.storage.store_path import AnyPath, copy_tree
from lake.testing.lakes import Row, interpreted, jobs_of, open_lake, quarantined, refresh_all, stored_rows
from lake.testing.lineage import assert_changes_follow_lineage
from lake.write.enforce import enforce
from lake.write.store import DeltaStore

__all__ = [
    "LAWS",
    "ComputedTwice",
    "First",
    "Law",
    "a_sink_holds_its_table_at_the_versions_it_names",
    "columns_change_only_with_their_lineage",
    "compute_twice",
    "count",
    "days_add_up_to_the_total",
    "days_landed",
    "empty_in_gives_empty_out_with_the_exact_schema",
    "every_row_is_accounted_for",
    "keys_are_unique",
    "other_ranges_and_another_order_give_the_same_rows",
    "the_same_days_again_give_the_same_rows",
    "the_same_rows_are_rejected_for_the_same_reasons",
    "the_stored_schema_is_the_contract",
    "the_transform_only_describes",
]

AGAIN = "zz-delivered-again"
"""What the names of files begin with that are delivered a second time."""
_SOME_ROWS = 500
"""Of an input with days, in which columns are changed."""
_SOME_ROWS_WITHOUT_DAYS = 2_000


class First(NamedTuple):
    """A table before the last range, which computes some of its days again.

    Attributes:
        version: what it held then.
        days: computed until then; `None` alone for a table without days.
    """

    version: int | None
    days: frozenset[Day]


@dataclass(frozen=True)
class ComputedTwice:
    """Hold the same lake, computed in two ways.

    Attributes:
        tables: all tables, upstream first.
        days: the days that were computed.
        store: computed in one go.
        receipts: of that.
        other: from files delivered twice and in another order, day by day from the last on, one twice.
        first: of each table in `other`, before its last range was computed.
    """

    tables: Mapping[str, Table]
    days: Days
    store: DeltaStore
    receipts: Mapping[str, Receipt]
    other: DeltaStore
    first: Mapping[str, First]

    @property
    def spark(self) -> SparkSession:
        """The session that computed both."""
        return self.store.spark

    @contextmanager
    def sql(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Read the first lake with DuckDB, which shares no code with Spark."""
        yield self._connection

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Open it once, because it looks into the logs of all tables."""
        return connect(self.store, self.tables.values())


Law = Callable[[ComputedTwice, Table], None]


def days_landed(landing: Path) -> Days | None:
    """Return the days from the first to the last landing day of any feed.

    None where nothing has landed.
    """
    days = [day for folder in landing.glob("[!._]*/landed_on=*") if (day := landing_day(folder.name))]
    return Days.between(min(days), max(days)) if days else None


def compute_twice(
    spark: SparkSession,
    root: Path,
    tables: Mapping[str, Table],
    landing: Path,
    days: Days,
    opened: Callable[[Path, SparkSession], DeltaStore] = open_lake,
    ranges: Sequence[Days] | None = None,
) -> ComputedTwice:
    """Compute two lakes from the same landing files.

    Args:
        spark: computes both.
        root: an empty folder for them.
        tables: all tables, upstream first.
        landing: landing files of all feeds, which are copied.
        days: what is computed; a few, because each is computed by itself too.
        opened: opens a lake without tables whose landing folder lies in the given one; by default all of it does.
        ranges: in what ranges and order the second lake is computed. The last has days that were computed before it.
            By default day by day from the last on, and the second once more with the first.
    """
    *before, last = ranges or _day_by_day(days)
    if not any(last.intersect(one) for one in before):
        raise ValueError("the last range has no day of an earlier one, so that no day would be computed again")
    store, other = opened(root / "one", spark), opened(root / "other", spark)
    copy_tree(landing, store.landing.location)
    _deliver_again(tables, landing, other.landing.location)
    known = tables.values()
    receipts = {name: done for name, (done,) in refresh_all(store, [days], known).items()}
    with interpreted(spark):
        first = {name: _compute_again(other, one, before, last) for name, one in tables.items()}
    return ComputedTwice(tables, days, store, receipts, other, first)


def _day_by_day(days: Days) -> list[Days]:
    """From the last day on, and the second once more with the first."""
    later = list(days)[1:] or [days.start]
    return [*map(Days.of, reversed(later)), days.intersect(Days.of(days.start).widen(after=1))]


def _compute_again(store: DeltaStore, table: Table, before: Sequence[Days], last: Days) -> First:
    """Compute ranges of a table, then one more.

    Returns what the table was between.
    """
    done = refresh_all(store, before, [table])[table.full_name]
    first = First(store.version(table), frozenset(day for receipt in done for day in receipt.counts))
    refresh_all(store, [last], [table])
    return first


def _deliver_again(tables: Mapping[str, Table], landed: Path, again: AnyPath) -> None:
    """Copy landing files, and each a second time under another name.

    The lines of topics are in reverse order in both. Files come again in the order in which they came.
    """
    topics = [topic.name for one in tables.values() for topic in one.topics]
    with TemporaryDirectory() as folder:
        both = Path(folder, "both")
        shutil.copytree(landed, both)
        files = [path for path in both.glob("*/landed_on=*/*") if path.is_file()]
        for file in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path)):
            if file.parts[-3] in topics:
                file.write_bytes(b"".join(reversed(file.read_bytes().splitlines(keepends=True))))
            shutil.copy(file, file.with_name(f"{AGAIN}-{file.name}"))
        copy_tree(both, again)


def other_ranges_and_another_order_give_the_same_rows(lakes: ComputedTwice, table: Table) -> None:
    """Assert that ranges, order and second deliveries change no row.

    The ranges are those of days, the order and the deliveries those of messages.
    """
    rows = stored_rows(lakes.other, table)

    assert [row for row in rows if not _is_again(row.get("file"))] == stored_rows(lakes.store, table)


def _is_again(file: object) -> bool:
    """Tell whether bronze has a row from a file of the second delivery."""
    return str(file).startswith(AGAIN)


def the_same_days_again_give_the_same_rows(lakes: ComputedTwice, table: Table) -> None:
    """Assert that a rerun changes no row."""
    first = lakes.first[table.full_name]
    now = [row for row in stored_rows(lakes.other, table) if (row[table.day] if table.day else None) in first.days]

    assert now == stored_rows(lakes.other, table, version=first.version)


def the_same_rows_are_rejected_for_the_same_reasons(lakes: ComputedTwice, table: Table) -> None:
    """Assert that the quarantine depends on neither order nor ranges."""
    once = quarantined(lakes.store, table)
    otherwise = [row for row in quarantined(lakes.other, table) if not _is_again(_file_of(row["row"]))]

    assert [(row["day"], row["rules"], row["raw"]) for row in otherwise] == [
        (row["day"], row["rules"], row["raw"]) for row in once
    ]


def _file_of(rejected: Mapping[str, object]) -> object:
    """Name the file of a row that was rejected.

    Bronze, or a table after it, has rejected the row.
    """
    return rejected.get("file") or rejected.get("_file")


def every_row_is_accounted_for(lakes: ComputedTwice, table: Table) -> None:
    """Assert that rows in are rows out, rejected and duplicates.

    The receipt agrees with the files, and bronze with what landed.
    """
    total = lakes.receipts[table.full_name].total
    with lakes.sql() as sql:
        held = count(sql, table.full_name)
        quarantine = f"quarantine.{table.layer}_{table.name}"
        rejected = count(sql, quarantine) if total.rejected else len(quarantined(lakes.store, table))

    assert (total.rows_out, total.rejected) == (held, rejected)
    assert total.rows_in == held + rejected + total.duplicates
    if table.feeds:
        landing = lakes.store.landing
        sources = table.feeds
        assert total.rows_in == sum(landing.count_rows(feed, day) for feed in sources for day in lakes.days)


def count(sql: duckdb.DuckDBPyConnection, what: str) -> int:
    """Count rows with DuckDB."""
    (number,) = sql.execute(f"SELECT count(*) FROM {what}").fetchone() or (0,)
    return int(number)


def days_add_up_to_the_total(lakes: ComputedTwice, table: Table) -> None:
    """Assert that the counts of each day are those of the table's files."""
    counts = lakes.receipts[table.full_name].counts
    by_day = {day: counted.rows_out for day, counted in counts.items() if counted.rows_out}
    day = table.day or "CAST(NULL AS DATE)"

    with lakes.sql() as sql:
        found = dict(sql.execute(f"SELECT {day}, count(*) FROM {table.full_name} GROUP BY ALL").fetchall())

    assert found == by_day


def keys_are_unique(lakes: ComputedTwice, table: Table) -> None:
    """Assert that no key is null or held twice."""
    quoted = [f'"{name}"' for name in table.key]
    key = ", ".join(quoted)

    with lakes.sql() as sql:
        twice = sql.execute(f"SELECT {key} FROM {table.full_name} GROUP BY {key} HAVING count(*) > 1").fetchall()
        unknown = count(sql, f"{table.full_name} WHERE {' OR '.join(f'{name} IS NULL' for name in quoted)}")

    assert (twice, unknown) == ([], 0)


def the_stored_schema_is_the_contract(lakes: ComputedTwice, table: Table) -> None:
    """Assert that the Delta table says not null and describes every column."""
    stored = lakes.store.table_log(table).require()

    for column, field in zip(table.contract.stored, stored.schema().fields, strict=True):
        assert (field.name, field.nullable) == (column.name, column.nullable)
        assert field.metadata["comment"] == column.description
    assert stored.metadata().partition_columns == table.partition_columns


def empty_in_gives_empty_out_with_the_exact_schema(lakes: ComputedTwice, table: Table) -> None:
    """Assert that empty inputs give no row, in the contract's columns."""
    with interpreted(lakes.spark):
        rows = table(*(_empty(lakes.spark, read.source) for read in table.reads))
        enforced = enforce(table, rows, lakes.days if table.day else None, partitions=1)

        table.contract.check_schema(rows, table.full_name)
        accepted = enforced.accepted()
        assert [(f.name, f.dataType) for f in accepted.schema] == [(f.name, f.dataType) for f in table.contract.schema]
        assert accepted.collect() == []
        assert enforced.observed().rows_in == 0


def _empty(spark: SparkSession, source: Table | Feed) -> DataFrame:
    return spark.createDataFrame([], source.schema)


def the_transform_only_describes(lakes: ComputedTwice, table: Table) -> None:
    """Assert that a transform starts no Spark job.

    It would run for every range, stream and test. To read may need one, as for the columns of a Parquet file.
    """
    inputs = _inputs(lakes, table)

    assert jobs_of(lakes.spark, lambda: table(*inputs)) == 0


def columns_change_only_with_their_lineage(lakes: ComputedTwice, table: Table) -> None:
    """Assert that no column changes where an input does of which it is not made.

    Some rows of each input are changed in columns that decide on no row.
    """
    with interpreted(lakes.spark):
        rows = [_some(lakes, read.source) for read in table.reads]
        assert_changes_follow_lineage(lakes.spark, table, rows, seed=f"{table.full_name} {table.code_version}")


def _some(lakes: ComputedTwice, source: Table | Feed) -> pa.Table:
    """Return some rows of an input, the same each time.

    Of a table they are the first by its key, so that those of tables with a common key go together. More of a table
    without days, because others look rows of theirs up there.
    """
    store = lakes.store
    if isinstance(source, Feed):
        return store.landing.read(store.spark, source, lakes.days).limit(_SOME_ROWS).toArrow()
    log = store.table_log(source)
    stored = DeltaTable(log.location, storage_options=dict(log.options))
    rows = stored.to_pyarrow_table(columns=source.schema.names)
    most = _SOME_ROWS if source.day else _SOME_ROWS_WITHOUT_DAYS
    return rows.sort_by([(name, "ascending") for name in source.key])[:most]


def _inputs(lakes: ComputedTwice, table: Table) -> list[DataFrame]:
    store = lakes.store
    return [
        store.read(read.source)
        if isinstance(read.source, Table)
        else store.landing.read(store.spark, read.source, lakes.days)
        for read in table.reads
    ]


def a_sink_holds_its_table_at_the_versions_it_names(sink: Sink, store: DeltaStore, place: Place) -> None:
    """Assert that each day at a destination is that of the table.

    It is so as of the version that the destination says, and the destination holds no other day, no column that the
    sink leaves out, and hashes alone of those that it hashes. Delta is read by DuckDB, which shares no code with what
    loads a sink.
    """
    target, table, expected = open_target(sink, place), sink.reads, list[Row]()
    loads, held = target.loads(), target.rows()
    with connect(store, ()) as sql:
        for version in {load.version for load in loads.values()}:
            days = [day for day, load in loads.items() if load.version == version]
            rows = _hidden(_as_of(sql, store, table, version), sink, place)
            if held.schema.types != rows.schema.types:  # nested values are JSON, perhaps of before a new field
                rows = without_nulls(json_text(rows, sink.shown), sink.shown)
            expected += [row for row in rows.to_pylist() if (row[table.day] if table.day else None) in days]

    if held.schema.types != names_and_types(sink.shown.contract.arrow_schema).types:
        held = without_nulls(held, sink.shown)
    assert sorted(map(_spelled, held.to_pylist())) == sorted(map(_spelled, expected))


def _as_of(sql: duckdb.DuckDBPyConnection, store: DeltaStore, table: Table, version: int) -> pa.Table:
    """Read a table as of a version in the columns of its contract.

    A column that it did not have yet is null.
    """
    location = literal(store.table_log(table).location)
    held = sql.execute(f"SELECT * FROM delta_scan({location}, version := {version})").to_arrow_table()
    schema = names_and_types(table.contract.arrow_schema)
    columns = [held[one.name] if one.name in held.column_names else pa.nulls(held.num_rows, one.type) for one in schema]
    return pa.table([column.cast(one.type) for column, one in zip(columns, schema, strict=True)], schema=schema)


def _hidden(rows: pa.Table, sink: Sink, place: Place) -> pa.Table:
    """Leave out and hash what the sink does not show."""
    secret = place.secret(sink, sink.pii_key_from).encode() if sink.pii_key_from else b""
    for name in sink.hashed:
        hashes = [_hash(value, secret) for value in rows[name].to_pylist()]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(hashes, pa.string()))
    return rows.drop_columns(list(sink.left_out))


def _hash(value: object, secret: bytes) -> str | None:
    if value is None:
        return None
    said = value if isinstance(value, str | bytes) else as_json(plain(value))
    return hmac.new(secret, said if isinstance(said, bytes) else said.encode(), hashlib.sha256).hexdigest()


def _spelled(row: Row) -> str:
    """Spell a row, because DuckDB may store -0 as 0."""
    return repr({name: value + 0.0 if isinstance(value, float) else value for name, value in row.items()})


LAWS: Sequence[Law] = (
    other_ranges_and_another_order_give_the_same_rows,
    the_same_days_again_give_the_same_rows,
    the_same_rows_are_rejected_for_the_same_reasons,
    every_row_is_accounted_for,
    days_add_up_to_the_total,
    keys_are_unique,
    the_stored_schema_is_the_contract,
    empty_in_gives_empty_out_with_the_exact_schema,
    the_transform_only_describes,
    columns_change_only_with_their_lineage,
)
"""All of them."""
