"""Describe the files of a Delta table as an Iceberg manifest does.

It says where each lies, its partition, rows and bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import (
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
)

from lake.serve.file_facts import FileFacts

__all__ = ["data_file"]

_EPOCH = date(1970, 1, 1)
_EPOCH_AT = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT_DIGITS = 15
"""A decimal of more digits may have been rounded in the log, where numbers are read as doubles."""
_TRUNCATED = timedelta(microseconds=999)
"""Statistics hold points in time to the millisecond, cut off; so the greatest may be greater by as much."""
_BOUNDED = (
    IntegerType,
    LongType,
    DateType,
    TimestampType,
    TimestamptzType,
    StringType,
    FloatType,
    DoubleType,
    DecimalType,
)


def data_file(file: FileFacts, schema: Schema, spec: PartitionSpec) -> DataFile:
    """Describe a file for a manifest."""
    rows = int(file.said["num_records"])
    nulls = _by_id(schema, lambda field: file.said.get(f"null_count.{field.name}"))
    partition = [_stored(file.partition(schema.find_column_name(one.source_id) or "")) for one in spec.fields]
    described = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.location,
        file_format=FileFormat.PARQUET,
        partition=Record(*partition),
        record_count=rows,
        file_size_in_bytes=file.said["size_bytes"],
        column_sizes={},
        value_counts=dict.fromkeys(nulls, rows),
        null_value_counts=nulls,
        nan_value_counts={},
        lower_bounds=_by_id(schema, lambda field: _lower(field, file.said.get(f"min.{field.name}"))),
        upper_bounds=_by_id(schema, lambda field: _upper(field, file.said.get(f"max.{field.name}"))),
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        sort_order_id=None,
        spec_id=spec.spec_id,
    )
    described.spec_id = spec.spec_id
    return described


def _by_id(schema: Schema, find: Any) -> dict[int, Any]:
    """Ask for each column that is not nested and keep the answers.

    Columns without an answer are left out.
    """
    fields: Sequence[NestedField] = [one for one in schema.fields if isinstance(one.field_type, PrimitiveType)]
    found = {field.field_id: find(field) for field in fields}
    return {number: value for number, value in found.items() if value is not None}


def _lower(field: NestedField, value: Any) -> bytes | None:
    return _encoded(field.field_type, value)


def _upper(field: NestedField, value: Any) -> bytes | None:
    if isinstance(field.field_type, FloatType | DoubleType):
        return None  # NaN is above every number for some engines, and no statistic tells of it
    return _encoded(field.field_type, value + _TRUNCATED if isinstance(value, datetime) else value)


def _encoded(kind: Any, value: Any) -> bytes | None:
    is_inexact = isinstance(value, Decimal) and len(value.as_tuple().digits) > _EXACT_DIGITS
    is_endless = isinstance(value, float) and not math.isfinite(value)
    if value is None or is_inexact or is_endless or not isinstance(kind, _BOUNDED):
        return None
    return to_bytes(kind, _stored(value))


def _stored(value: Any) -> Any:
    """Give a value as manifests hold it: days and microseconds since 1970."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (aware - _EPOCH_AT) // timedelta(microseconds=1)
    return (value - _EPOCH).days if isinstance(value, date) else value
