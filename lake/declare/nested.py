"""Nested columns of a contract: arrays, maps and structs.

Delta does not enforce that values inside of arrays and maps are there. So a table stores them as nullable, and what the
contract says of them are rules as any other. Maps have no order and no equality in Spark; their sorted entries have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column

__all__ = ["comparable", "inner_rules", "is_nested", "stored_type"]

Verdict = Callable[[Column], Column]


def is_nested(dtype: T.DataType) -> bool:
    """Tell whether values of a type hold values."""
    return isinstance(dtype, T.ArrayType | T.MapType | T.StructType)


def stored_type(dtype: T.DataType) -> T.DataType:
    """Return the type in which a table stores values of a type."""
    if isinstance(dtype, T.ArrayType):
        return T.ArrayType(stored_type(dtype.elementType))
    if isinstance(dtype, T.MapType):
        return T.MapType(stored_type(dtype.keyType), stored_type(dtype.valueType))
    if isinstance(dtype, T.StructType):
        return T.StructType([T.StructField(one.name, stored_type(one.dataType)) for one in dtype])
    return dtype


def inner_rules(dtype: T.DataType) -> Iterator[tuple[str, Verdict]]:
    """Give a rule for each inner value that may not be null.

    Each comes with the path of its value.
    """
    if isinstance(dtype, T.StructType):
        for one in dtype:
            for path, passes in _rules_of(one.dataType, one.nullable):
                yield _joined(one.name, path), _in_field(one.name, passes)
    elif isinstance(dtype, T.ArrayType):
        for path, passes in _rules_of(dtype.elementType, dtype.containsNull):
            yield _joined("element", path), _in_each(passes)
    elif isinstance(dtype, T.MapType):
        for path, passes in _rules_of(dtype.keyType, True):
            yield _joined("key", path), _in_each(passes, F.map_keys)
        for path, passes in _rules_of(dtype.valueType, dtype.valueContainsNull):
            yield _joined("value", path), _in_each(passes, F.map_values)


def _rules_of(dtype: T.DataType, nullable: bool) -> Iterator[tuple[str, Verdict]]:
    if not nullable:
        yield "", lambda value: value.isNotNull()
    yield from inner_rules(dtype)


def _joined(name: str, path: str) -> str:
    return f"{name}.{path}" if path else name


def _in_field(name: str, passes: Verdict) -> Verdict:
    """Ask something of a field."""
    return lambda value: F.when(value.isNotNull(), passes(value.getField(name)))


def _in_each(passes: Verdict, values: Verdict = lambda value: value) -> Verdict:
    """Ask something of each value, and of no value inside of a null."""
    return lambda value: F.forall(values(value), lambda one: F.coalesce(passes(one), F.lit(True)))


def comparable(value: Column, dtype: T.DataType) -> Column:
    """Return what Spark can compare and order in place of a value."""
    if not _holds_map(dtype):
        return value
    if isinstance(dtype, T.ArrayType):
        element = dtype.elementType
        return F.transform(value, lambda one: comparable(one, element))
    if isinstance(dtype, T.MapType):
        return F.array_sort(comparable(F.map_entries(value), _entries(dtype)))
    assert isinstance(dtype, T.StructType)
    fields = (comparable(value.getField(one.name), one.dataType).alias(one.name) for one in dtype)
    return F.when(value.isNotNull(), F.struct(*fields))


def _entries(dtype: T.MapType) -> T.ArrayType:
    fields = [T.StructField("key", dtype.keyType), T.StructField("value", dtype.valueType)]
    return T.ArrayType(T.StructType(fields))


def _holds_map(dtype: T.DataType) -> bool:
    if isinstance(dtype, T.StructType):
        return any(_holds_map(one.dataType) for one in dtype)
    return isinstance(dtype, T.MapType) or (isinstance(dtype, T.ArrayType) and _holds_map(dtype.elementType))
