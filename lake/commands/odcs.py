"""Write contracts by the Open Data Contract Standard, version 3.1 (bitol.io).

Each table has a file. It says nothing but what is declared: it is the same on every machine, and its version changes
where the rest does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyspark.sql.types as T
import yaml

from lake.commands.catalog import tags_of
from lake.declare.contract import ContractColumn
from lake.declare.table import Table

__all__ = ["SUFFIX", "contract_of", "strangers", "write_contracts"]

SUFFIX = ".odcs.yaml"
Facts = dict[str, Any]

_LOGICAL: tuple[tuple[type[T.DataType], str], ...] = (
    (T.IntegralType, "integer"),
    (T.NumericType, "number"),
    (T.BooleanType, "boolean"),
    (T.DateType, "date"),
    (T.TimestampType, "timestamp"),
    (T.TimestampNTZType, "timestamp"),
    (T.ArrayType, "array"),
    (T.StructType, "object"),
    (T.MapType, "object"),
)
"""What is none of these is a string."""
_OPTIONS: Mapping[str, Callable[[Mapping[str, Any]], Facts]] = {
    "greater_than_or_equal_to": lambda facts: {"minimum": facts["min_value"]},
    "greater_than": lambda facts: {"exclusiveMinimum": facts["min_value"]},
    "less_than_or_equal_to": lambda facts: {"maximum": facts["max_value"]},
    "less_than": lambda facts: {"exclusiveMaximum": facts["max_value"]},
    "in_range": lambda facts: {
        "minimum" if facts.get("include_min", True) else "exclusiveMinimum": facts["min_value"],
        "maximum" if facts.get("include_max", True) else "exclusiveMaximum": facts["max_value"],
    },
    "str_length": lambda facts: {
        "minLength": facts.get("min_value", facts.get("exact_value")),
        "maxLength": facts.get("max_value", facts.get("exact_value")),
    },
    "str_matches": lambda facts: {"pattern": _from_start(_plain(facts["pattern"]))},
}
"""The options of the standard that say what a check states, by the check."""


def write_contracts(folder: Path, tables: Iterable[Table]) -> list[Path]:
    """Write a file for each table, and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        path = folder / f"{table.full_name}{SUFFIX}"
        path.write_text(yaml.safe_dump(contract_of(table), sort_keys=False, allow_unicode=True, width=120))
        written.append(path)
    return written


def strangers(folder: Path, written: Iterable[Path]) -> list[Path]:
    """List the contracts of a folder that no table has any more."""
    return sorted(set(folder.glob(f"*{SUFFIX}")) - set(written))


def contract_of(table: Table) -> Facts:
    """Return the contract of a table, as the standard spells it."""
    said = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": table.full_name,
        "name": table.full_name,
        "status": "active",
        **({"domain": table.tags["domain"]} if "domain" in table.tags else {}),
        "tags": tags_of(table),
        "description": {"purpose": " ".join(table.description.split())},
        "team": {"name": table.owner},
        "schema": [_schema(table)],
        "slaProperties": [
            {
                "property": "latency",
                "value": table.fresh_within.total_seconds() / 3600,
                "unit": "h",
                "element": f"{table.name}.{table.day}" if table.day else table.name,
                "description": "after the end of the day",
            }
        ],
    }
    version = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
    return {"version": version, **said}


def _schema(table: Table) -> Facts:
    stored = table.contract.stored_names
    checked = [rule for rule in table.contract.rules if rule.column not in stored and rule.check != "not_null"]
    return {
        "name": table.name,
        "physicalName": table.full_name,
        "physicalType": "table",
        "logicalType": "object",
        "properties": [_column(table, column) for column in table.contract.stored],
        "quality": [
            _none("key", "duplicateValues", properties=list(table.key))
            | {"description": f"{', '.join(table.key)} together are unique"},
            *(_text(rule.check, f"{rule.column}, computed and not stored: {rule.text}") for rule in checked),
        ],
    }


def _column(table: Table, column: ContractColumn) -> Facts:
    name, (options, quality) = column.name, _checks(table, column.name)
    key, days = list(table.key), list(table.partition_columns)
    return {
        "name": name,
        **_typed(column.dtype),
        "description": column.description,
        "required": not column.nullable,
        **({"primaryKey": True, "primaryKeyPosition": key.index(name) + 1} if name in key else {}),
        **({"partitioned": True, "partitionKeyPosition": days.index(name) + 1} if name in days else {}),
        **({"classification": str(column.pii)} if column.is_personal else {}),
        **({"logicalTypeOptions": options} if options else {}),
        **({"quality": quality} if quality else {}),
    }


def _typed(dtype: T.DataType) -> Facts:
    logical = next((name for kind, name in _LOGICAL if isinstance(dtype, kind)), "string")
    said: Facts = {"logicalType": logical, "physicalType": dtype.simpleString()}
    if isinstance(dtype, T.StructType):
        said["properties"] = [
            {"name": field.name, **_typed(field.dataType), "required": not field.nullable} for field in dtype.fields
        ]
    if isinstance(dtype, T.ArrayType):
        said["items"] = {**_typed(dtype.elementType), "required": not dtype.containsNull}
    return said


def _checks(table: Table, name: str) -> tuple[Facts, list[Facts]]:
    """Say the checks of a column as options of its type, else as rules."""
    checks = next((facts.checks for column, _, facts in table.contract.stated if column == name), ())
    options: Facts = {}
    for check in (check for check in checks if check.name in _OPTIONS):
        found = _OPTIONS[check.name](check.statistics)
        options |= {option: _plain(value) for option, value in found.items() if value is not None}
    lists = [check.statistics["allowed_values"] for check in checks if check.name == "isin"]
    listed = [[_plain(value) for value in values if value is not None] for values in lists]
    rules = [rule for rule in table.contract.checks_on(name) if rule.check not in {*_OPTIONS, "isin"}]
    return options, [
        *(_none("isin", "invalidValues", validValues=values) for values in listed),
        *(_text(rule.check, rule.text) for rule in rules),
    ]


def _from_start(pattern: str) -> str:
    """Anchor a pattern, because that of a contract begins with the value."""
    return pattern if pattern.startswith("^") and "|" not in pattern else f"^(?:{pattern})"


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return getattr(value, "pattern", value)


def _none(name: str, metric: str, **arguments: Any) -> Facts:
    """State that the standard's own metric finds none."""
    return {"type": "library", "name": name, "metric": metric, "arguments": arguments, "mustBe": 0}


def _text(name: str, description: str) -> Facts:
    return {"type": "text", "name": name, "description": description}
