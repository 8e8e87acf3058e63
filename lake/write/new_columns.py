"""Find what a stored table gets where its contract has grown."""

from __future__ import annotations

import pyarrow as pa

from lake.declare.contract import ContractColumn
from lake.declare.nested import inner_rules, new_fields
from lake.declare.table import Table
from lake.errors import SchemaDrift

__all__ = ["new_columns"]


def new_columns(table: Table, stored: pa.Schema) -> list[str]:
    """Name the columns that a stored table lacks, or in which it lacks fields.

    All that it lacks may be null, because its old rows have nothing there.

    Raises:
        SchemaDrift: contract and table differ in another way.
    """
    contract, new = table.contract.arrow_schema, list[str]()
    expected, found = ({one.name: str(one.type) for one in schema} for schema in (contract, stored))
    for column in table.contract.stored:
        if column.name not in found:
            new += [column.name] if column.nullable else []
        elif fields := new_fields(stored.field(column.name).type, contract.field(column.name).type):
            new.append(column.name)
            expected[column.name] = found[column.name]
            expected |= dict.fromkeys(_required(column, fields), "(not nullable)")
    if found == {name: kind for name, kind in expected.items() if name in found or name not in new}:
        return new
    raise SchemaDrift(table.full_name, expected, found)


def _required(column: ContractColumn, fields: list[str]) -> list[str]:
    """Return the paths of new fields that may not be null."""
    rules = {path for path, _ in inner_rules(column.dtype)}
    return [f"{column.name}.{path}" for path in fields if path in rules]
