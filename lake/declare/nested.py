"""Nested columns of a contract: arrays, maps and structs.

Delta does not enforce that values inside of arrays and maps are there. So a table stores them as nullable, and what the
contract says of them are rules as any other. Maps have no order and no equality in Spark; their sorted entries have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column

__all__ = ["comparable", "fields_alike", "in_shape", "inner_rules", "is_nested", "new_fields", "stored_type"]

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


def fields_alike(dtype: T.DataType) -> Iterator[tuple[str, str]]:
    """Find fields of one struct that differ only in case.

    Delta and Spark do not tell them apart.
    """
    if isinstance(dtype, T.ArrayType):
        yield from fields_alike(dtype.elementType)
    elif isinstance(dtype, T.MapType):
        yield from (*fields_alike(dtype.keyType), *fields_alike(dtype.valueType))
    elif isinstance(dtype, T.StructType):
        seen: dict[str, str] = {}
        for one in dtype:
            if (folded := one.name.casefold()) in seen:
                yield seen[folded], one.name
            seen[folded] = one.name
            yield from fields_alike(one.dataType)


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


def new_fields(stored: pa.DataType, wanted: pa.DataType) -> list[str] | None:
    """List the paths of inner fields that a column gets.

    They stand at the end of their struct, because readers of files take fields in the order of the table. None where
    the types differ in another way.
    """
    held, asked = _parts(stored), _parts(wanted)
    if not held or stored.id != wanted.id:
        return [] if str(stored) == str(wanted) else None
    if [name for name, _ in held] != [name for name, _ in asked[: len(held)]]:
        return None
    found = [name for name, _ in asked[len(held) :]]
    if not _are_apart([name for name, _ in asked]):
        return None
    for (name, old), (_, new) in zip(held, asked, strict=False):
        inner = new_fields(old, new)
        if inner is None or (inner and name == "key" and pa.types.is_map(wanted)):
            return None  # other keys are other entries
        found += [_joined(name, path) for path in inner]
    return found


def _parts(dtype: pa.DataType) -> list[tuple[str, pa.DataType]]:
    """Give what values of a type hold, by the names that rules have too."""
    if pa.types.is_struct(dtype):
        return [(one.name, one.type) for one in dtype.fields]
    if pa.types.is_map(dtype):
        return [("key", dtype.key_type), ("value", dtype.item_type)]
    return [("element", dtype.value_type)] if pa.types.is_list(dtype) else []


def _are_apart(names: list[str]) -> bool:
    """Tell whether names differ, also for Spark, which looks at no case."""
    return len({name.lower() for name in names}) == len(names)


def in_shape(value: Column, stored: T.DataType, wanted: T.DataType) -> Column:
    """Return a value with the inner fields that are wanted.

    They are null where it has none.
    """
    if isinstance(stored, T.ArrayType) and isinstance(wanted, T.ArrayType):
        old, new = stored.elementType, wanted.elementType
        return F.transform(value, lambda one: in_shape(one, old, new))
    if isinstance(stored, T.MapType) and isinstance(wanted, T.MapType):
        before, after = stored.valueType, wanted.valueType
        return F.transform_values(value, lambda _, one: in_shape(one, before, after))
    if isinstance(stored, T.StructType) and isinstance(wanted, T.StructType):
        held = {one.name: one.dataType for one in stored}
        fields = [
            in_shape(value.getField(one.name), held[one.name], one.dataType)
            if one.name in held
            else F.lit(None).cast(one.dataType)
            for one in wanted
        ]
        named = (field.alias(one.name) for field, one in zip(fields, wanted, strict=True))
        return F.when(value.isNotNull(), F.struct(*named))
    return value


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
