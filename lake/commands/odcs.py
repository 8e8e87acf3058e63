"""Write contracts of tables as files of the Open Data Contract Standard, version 3.1 (bitol.io).

A file says nothing but what is declared: it is the same on every machine, and its version changes where the rest does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyspark.sql.types as T
import yaml

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
_BOUNDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "greater_than_or_equal_to": (("min_value", "minimum"),),
    "greater_than": (("min_value", "exclusiveMinimum"),),
    "less_than_or_equal_to": (("max_value", "maximum"),),
    "less_than": (("max_value", "exclusiveMaximum"),),
    "str_length": (("min_value", "minLength"), ("max_value", "maxLength")),
    "str_matches": (("pattern", "pattern"),),
}
"""The options of the standard that say what a check states, by the check's facts."""


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
        "tags": [f"{name}={value}" for name, value in sorted(table.tags.items())],
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
        "properties": [_column(table, name) for name in table.contract.stored_names],
        "quality": [
            _none("key", "duplicateValues", properties=list(table.key))
            | {"description": f"{', '.join(table.key)} together are unique"},
            *(_text(rule.check, f"{rule.column}, computed and not stored: {rule.text}") for rule in checked),
        ],
    }


def _column(table: Table, name: str) -> Facts:
    column = table.contract.column(name)
    assert column is not None, "it is stored"
    options, quality = _checks(table, name)
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
    """Say the checks of a column: as options of its type where the standard has them, else as rules."""
    stated = {one: facts for one, _, facts in table.contract.stated}
    options: Facts = {}
    listed: list[Facts] = []
    for check in stated[name].checks if name in stated else ():
        options |= dict(_options(str(check.name), check.statistics or {}))
        if check.name == "isin":
            values = [_plain(value) for value in check.statistics["allowed_values"] if value is not None]
            listed.append(_none("isin", "invalidValues", validValues=values))
    rules = [rule for rule in table.contract.rules if rule.column == name and rule.check != "not_null"]
    said = [_text(rule.check, rule.text) for rule in rules if rule.check not in {*_BOUNDS, "in_range", "isin"}]
    return options, [*listed, *said]


def _options(check: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    exact = facts.get("exact_value")
    if check == "in_range":
        low, high = (_range_end(facts, end) for end in ("min", "max"))
        yield from (low, high)
    elif check == "str_length" and exact is not None:
        yield from (("minLength", exact), ("maxLength", exact))
    else:
        known = ((option, _from_start(facts.get(fact), option)) for fact, option in _BOUNDS.get(check, ()))
        yield from ((option, _plain(value)) for option, value in known if value is not None)


def _range_end(facts: Mapping[str, Any], end: str) -> tuple[str, Any]:
    whole = "imum" if facts.get(f"include_{end}", True) else ""
    option = f"{end}{whole}" if whole else f"exclusive{end.capitalize()}imum"
    return option, _plain(facts[f"{end}_value"])


def _from_start(value: Any, option: str) -> Any:
    """Anchor a pattern, because the contract's begins with the value and a reader may search."""
    if option != "pattern" or value is None:
        return value
    pattern = str(getattr(value, "pattern", value))
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
