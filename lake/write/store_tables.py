"""Make tables, and give them the columns of their contracts."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable, Schema
from pyspark.sql.pandas.types import to_arrow_schema

from lake.declare.table import Table
from lake.storage.retention import properties_of
from lake.write.checksum import write_checksum
from lake.write.committer import Committer
from lake.write.enforce import QUARANTINE
from lake.write.new_columns import new_columns
from lake.write.store_places import StorePlaces
from lake.write.table_facts import own_properties, state_facts

__all__ = ["StoreTables"]


@dataclass
class StoreTables(StorePlaces):
    """Make tables and quarantines under one root, and prepare commits to them.

    The caller holds a table's lock.
    """

    def create(self, table: Table) -> None:
        """Create the table, without rows, where it does not exist."""
        self._create(self.path(table), table.contract.arrow_schema, table.partition_columns, table)

    def lacks_columns(self, table: Table) -> bool:
        """Ask whether the stored table lacks columns, or fields of them.

        All that it lacks may be null.

        Raises:
            SchemaDrift: the two differ in another way.
        """
        return bool(new_columns(table, self.table_log(table).schema()))

    def grow(self, table: Table) -> None:
        """Add the nullable columns and fields that `lacks_columns` speaks of.

        Changes no row. It happens before a query reads the table, because Spark refuses a micro-batch with other
        columns than it began with.
        """
        path = self.path(table)
        log, wanted = self.log(path), table.contract.arrow_schema
        # Of a column that is there, delta-rs adds the fields that are new.
        new = pa.schema([wanted.field(name) for name in new_columns(table, log.schema())])
        with self.flushed(path):
            stored = DeltaTable(log.location, storage_options=dict(self.storage_options))
            stored.alter.add_columns(Schema.from_arrow(new).fields)
        write_checksum(log, log.version() or 0)

    def _of_table(self, table: Table) -> Committer:
        """Prepare commits to the table.

        The table is made or given new columns where that is needed.

        Raises:
            SchemaDrift: the stored table has other columns than the contract, beyond those that can be added.
        """
        self.create(table)
        if self.lacks_columns(table):
            self.grow(table)
        self._state_facts(table)
        path, columns = self.path(table), tuple(table.partition_columns)
        return Committer(table.full_name, path, self.log(path), table.contract.arrow_schema, columns, table.day)

    def _state_facts(self, table: Table) -> None:
        path = self.path(table)
        log = self.log(path)
        if (stored := log.opened()) is not None:
            with self.flushed(path):
                made = state_facts(table, log.location, stored, self.storage_options)
            for version in made:
                write_checksum(log, version)

    def _of_quarantine(self, table: Table) -> Committer:
        path, schema = self.quarantine_path(table), to_arrow_schema(QUARANTINE, timezone="UTC")
        day = "day" if table.day else None
        partition_by = [day] if day else []
        self._create(path, schema, partition_by, table)
        return Committer(self._name_of(path), path, self.log(path), schema, tuple(partition_by), day)

    def _create(self, path: str, schema: pa.Schema, partition_by: list[str], table: Table) -> None:
        """Create a table or its quarantine where it does not exist."""
        log = self.log(path)
        if log.version() is None:
            with self.flushed(path):
                DeltaTable.create(
                    log.location,
                    schema=schema,
                    mode="ignore",
                    partition_by=partition_by or None,
                    description=table.description.partition("\n")[0] if path == self.path(table) else None,
                    configuration={**properties_of(table), **own_properties(table)},
                    raise_if_key_not_exists=False,
                    storage_options=dict(self.storage_options),
                )
            write_checksum(log, 0)
