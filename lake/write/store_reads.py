"""Read tables by Spark, in batch and as streams."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

from lake.declare.contract import ContractColumn
from lake.declare.days import Days
from lake.declare.nested import in_shape
from lake.declare.table import Table
from lake.storage.plain_files import plain_files
from lake.write.enforce import QUARANTINE, day_within
from lake.write.store_places import StorePlaces

__all__ = ["StoreReads"]

_ALL_FILES = 2_000_000_000


@dataclass
class StoreReads(StorePlaces):
    """Reads the tables under one root."""

    def read(
        self, table: Table, days: Days | None = None, *, version: int | None = None, by: str | None = None
    ) -> DataFrame:
        """Read the table's rows lazily, in the contract's columns.

        A table that was never written reads as empty.

        Args:
            table: what to read.
            days: only rows whose day lies in these days.
            version: as of this version; None for the newest.
            by: the column of that day; None for `read_by`.
        """
        newest = self.version(table)
        if newest is None:
            return self._no_rows(table.contract.schema)
        pinned, day = newest if version is None else version, by or table.read_by
        rows = self._read_files(table, pinned, day, days)
        if rows is None:
            rows = self.spark.read.format("delta").option("versionAsOf", pinned).load(self.path(table))
            if days is not None and day is not None:
                rows = rows.where(day_within(day, days))
        return _in_contract_columns(rows, table)

    def _read_files(self, table: Table, version: int, day: str | None, days: Days | None) -> DataFrame | None:
        """Read the files of a version without Delta, which would compute in jobs which they are.

        None where only Delta can read them. In an object store too, because there Spark asks for each file twice.
        """
        log = self.table_log(table)
        opened = log.at_version(version) if log.is_local else None
        files = None if opened is None else plain_files(opened, day, None if day is None else days)
        if opened is None or files is None:
            return None
        stored = T.StructType.fromJson(json.loads(opened.schema().to_json()))
        # Comments of columns would be written into each data file of a reader.
        columns = T.StructType([T.StructField(field.name, field.dataType) for field in stored.fields])
        if not files:
            return self._no_rows(columns)
        path = self.path(table)
        reader = self.spark.read.schema(columns).option("basePath", path).option("__globPaths__", "false")
        return reader.parquet(*(f"{path}/{name}" for name in files))

    def read_stream(self, table: Table, first_day: date) -> DataFrame:
        """Read the table's rows as a stream, in the contract's columns.

        It gives all that the table holds at once, then what is added. Commits that change or remove rows are passed
        over: a day that batch rewrote reaches readers through batch. So is what lies before `first_day`, as a literal
        that prunes files: batch filling an empty day is a pure add.
        """
        reader = self.spark.readStream.format("delta").option("skipChangeCommits", "true")
        # Read file by file, a table's counts would go down before they went up, and late rows would be lost.
        rows = reader.option("maxFilesPerTrigger", _ALL_FILES).load(self.path(table))
        if table.read_by is not None:
            rows = rows.where(F.col(table.read_by) >= F.lit(first_day))
        return _in_contract_columns(rows, table)

    def read_current(self, table: Table, first_day: date | None = None) -> DataFrame:
        """Read the table's rows for the static side of a stream.

        Each micro-batch sees the newest version. The table must exist.
        """
        rows = self.spark.read.format("delta").load(self.path(table))
        if first_day is not None and table.read_by is not None:
            rows = rows.where(F.col(table.read_by) >= F.lit(first_day))
        return _in_contract_columns(rows, table)

    def read_quarantine(self, table: Table, days: Days | None = None) -> DataFrame:
        """Read the table's rejected rows lazily: day, rules, raw, row."""
        path = self.quarantine_path(table)
        if self.log(path).version() is None:
            return self._no_rows(QUARANTINE)
        rows = self.spark.read.format("delta").load(path)
        return rows if days is None else rows.where(day_within("day", days))

    def _no_rows(self, schema: T.StructType) -> DataFrame:
        """Return an empty frame.

        `createDataFrame` would start a Python worker for it.
        """
        columns = (F.lit(None).cast(field.dataType).alias(field.name) for field in schema.fields)
        return self.spark.range(0).select(*columns)


def _in_contract_columns(rows: DataFrame, table: Table) -> DataFrame:
    """Return the contract's columns in order.

    Nullable ones that the stored table does not have yet are null, and so are such fields of structs.
    """
    stored = {field.name: field.dataType for field in rows.schema.fields}
    return rows.select(*(_in_contract_shape(column, stored.get(column.name)) for column in table.contract.stored))


def _in_contract_shape(column: ContractColumn, stored: T.DataType | None) -> Column:
    if stored is None:
        return F.lit(None).cast(column.dtype).alias(column.name)
    value = F.col(column.name)
    if stored.simpleString() == column.dtype.simpleString():
        return value
    return in_shape(value, stored, column.dtype).alias(column.name)
