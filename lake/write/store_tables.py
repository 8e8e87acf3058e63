"""Make tables, and give them the columns of their contracts."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable, Schema
from pyspark.sql.pandas.types import to_arrow_schema

from lake.declare.table import Table
from lake.errors import SchemaDrift
from lake.storage.retention import properties_of
from lake.write.checksum import write_checksum
from lake.write.committer import Committer
from lake.write.enforce import QUARANTINE
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
        """Ask whether the contract has nullable columns that the stored table lacks.

        Raises:
            SchemaDrift: the two differ in another way.
        """
        stored = self.table_log(table).schema()
        found = {name: str(stored.field(name).type) for name in stored.names}
        expected = {name: str(table.contract.arrow_schema.field(name).type) for name in table.contract.stored_names}
        new = {name for name in expected if name not in found}
        grown = {c.name for c in table.contract.stored if c.nullable}
        if new <= grown and all(expected.get(name) == kind for name, kind in found.items()):
            return bool(new)
        raise SchemaDrift(table.full_name, expected, found)

    def grow(self, table: Table) -> None:
        """Add the nullable columns that `lacks_columns` speaks of.

        Changes no row. It happens before a query reads the table, because Spark refuses a micro-batch with other
        columns than it began with.
        """
        path = self.path(table)
        log = self.log(path)
        stored, wanted = log.schema(), table.contract.arrow_schema
        fields = Schema.from_arrow(pa.schema([field for field in wanted if field.name not in stored.names])).fields
        with self.flushed(path):
            DeltaTable(log.location, storage_options=dict(self.storage_options)).alter.add_columns(fields)
        write_checksum(log, log.version() or 0)

    def _of_table(self, table: Table) -> Committer:
        """Prepare commits to the table.

        The table is made or given new columns where that is needed.

        Raises:
            SchemaDrift: the stored table has other columns than the contract, beyond added nullable ones.
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
