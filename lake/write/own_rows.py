"""Read and write the rows of the lake's own small tables, without a JVM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from lake.storage.log import Log
from lake.storage.own_format import DESCRIPTION, readable
from lake.storage.plain_files import plain_files
from lake.write.store_places import StorePlaces

__all__ = ["OwnRows", "rows_of"]


@dataclass
class OwnRows(StorePlaces):
    """Read and write the tables of the lake itself, `lake/<name>`."""

    def rows_in_lake(self, name: str) -> pa.Table | None:
        """Read a table of the lake itself (`lake/<name>`), without a JVM.

        None where nothing was ever written.

        Raises:
            LogDamaged: a file of its log cannot be read.
        """
        log = self.log(f"{self.tables}/lake/{name}")
        stored = readable(name, log.open())
        return None if stored is None else rows_of(log, stored)

    def append_to_lake(self, name: str, rows: Callable[[int], pa.Table]) -> None:
        """Append rows to a table of the lake itself, under its lock.

        It is `lake/<name>`, and needs no JVM. Nullable columns that a release adds are added to a table that an older
        one wrote.

        Args:
            name: which table.
            rows: gives the rows for the version that their commit will have.
        """
        log = self.log(f"{self.tables}/lake/{name}")
        with self.lock(f"lake.{name}"), self.flushed(f"{self.tables}/lake/{name}"):
            stored = readable(name, log.open())
            write_deltalake(
                log.location,
                rows(0 if stored is None else stored.version() + 1),
                mode="append",
                description=DESCRIPTION,
                schema_mode="merge",
                storage_options=dict(self.storage_options),
            )

    def replace_in_lake(self, name: str, rows: pa.Table) -> None:
        """Replace the rows of a table of the lake itself.

        The caller holds its lock.
        """
        location = f"{self.tables}/lake/{name}"
        with self.flushed(location):
            write_deltalake(
                self.log(location).location, rows, mode="overwrite", storage_options=dict(self.storage_options)
            )


def rows_of(log: Log, stored: DeltaTable) -> pa.Table:
    """Read the rows of a version of one of the lake's own tables.

    In a local folder its files are read one by one, because a dataset of pyarrow costs several times as much where they
    are small.
    """
    files = plain_files(stored) if log.is_local else None
    if files is None:
        return stored.to_pyarrow_table()
    schema = pa.schema(stored.schema())
    read = [_in_columns(pq.ParquetFile(f"{log.location}/{file}").read(use_threads=False), schema) for file in files]
    return pa.concat_tables([schema.empty_table(), *read])


def _in_columns(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give the rows of a file in the columns of its table.

    An older release, or delta-rs, wrote other ones.
    """
    if rows.schema.equals(schema):
        return rows
    held = set(rows.column_names)
    columns = (rows[f.name].cast(f.type) if f.name in held else pa.nulls(rows.num_rows, f.type) for f in schema)
    return pa.table(list(columns), schema=schema)
