"""Say in SQL how DuckDB writes rows as JSON, so that no value passes through Python.

Times are UTC to the microsecond, days and decimals are texts, bytes are base64url, and no number is NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyspark.sql.types as T

from lake.declare.contract import ContractColumn
from lake.declare.sql_text import literal, quoted

__all__ = ["json_expression", "json_object"]

_AS_THEY_ARE = (T.StringType, T.BooleanType, T.IntegralType)


def json_object(columns: Iterable[ContractColumn]) -> str:
    """Write the expression that gives a row as the text of a JSON object."""
    return f"CAST(to_json({_fields((c.name, c.dtype, quoted(c.name)) for c in columns)}) AS VARCHAR)"


def json_expression(dtype: T.DataType, value: str, depth: int = 0) -> str:
    """Write the expression that gives a value as JSON shows it.

    Args:
        dtype: of the value.
        value: an expression.
        depth: how many lambdas it lies in; their parameters have names of their own.
    """
    if isinstance(dtype, T.TimestampType):
        # AT TIME ZONE 'UTC' says the same and takes twice as long, because it asks for the zone of each value.
        return f"strftime(make_timestamp(epoch_us({value})), '%Y-%m-%dT%H:%M:%S.%fZ')"
    if isinstance(dtype, T.DateType | T.DecimalType):
        return f"CAST({value} AS VARCHAR)"
    if isinstance(dtype, T.FractionalType):
        return f"CASE WHEN isfinite({value}) THEN {value} END"
    if isinstance(dtype, T.BinaryType):
        return f"translate(base64({value}), '+/', '-_')"
    return _nested(dtype, value, depth) if not isinstance(dtype, _AS_THEY_ARE) else value


def _nested(dtype: T.DataType, value: str, depth: int) -> str:
    each = f"e{depth}"
    if isinstance(dtype, T.ArrayType):
        inner = json_expression(dtype.elementType, each, depth + 1)
        return f"list_transform({value}, lambda {each}: {inner})"
    if isinstance(dtype, T.MapType):
        key = json_expression(dtype.keyType, f"{each}.key", depth + 1)
        inner = json_expression(dtype.valueType, f"{each}.value", depth + 1)
        pairs = f"list_transform(map_entries({value}), lambda {each}: {{'k': {key}, 'v': {inner}}})"
        return f"CASE WHEN {value} IS NOT NULL THEN map_from_entries({pairs}) END"
    if isinstance(dtype, T.StructType):
        fields = ((one.name, one.dataType, f"{value}.{quoted(one.name)}") for one in dtype)
        return f"CASE WHEN {value} IS NOT NULL THEN {_fields(fields, depth)} END"
    return value


def _fields(fields: Iterable[tuple[str, T.DataType, str]], depth: int = 0) -> str:
    said = (f"{literal(name)}: {json_expression(dtype, value, depth)}" for name, dtype, value in fields)
    return f"{{{', '.join(said)}}}"
