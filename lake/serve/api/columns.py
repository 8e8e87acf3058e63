"""Say contracts as JSON types and parameters.

The JSON types are for OpenAPI, the parameters are typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import pyspark.sql.types as T
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, create_model

from lake.declare.contract import ContractColumn
from lake.declare.table import Table, pascal_case

__all__ = [
    "DAY",
    "FLAG",
    "VERSION",
    "exposed",
    "parameter_columns",
    "parameter_type",
    "row_model",
    "sort_columns",
]

_FINITE = "null where it is no finite number"


def exposed(table: Table) -> list[ContractColumn]:
    """Return the columns that the API shows, in the order of the contract."""
    return list(table.contract.stored)


def sort_columns(table: Table) -> list[ContractColumn]:
    """Return the columns that give rows their order: the day, then the key."""
    names = dict.fromkeys(name for name in (table.day, *table.key) if name is not None)
    return [column for name in names if (column := table.contract.column(name)) is not None]


def parameter_columns(table: Table) -> list[ContractColumn]:
    """Return the columns by which rows can be asked for."""
    shown = {column.name for column in exposed(table)}
    return [c for c in sort_columns(table) if c.name in shown and parameter_type(c.dtype) is not None]


# The row, for OpenAPI


def row_model(table: Table) -> type[BaseModel]:
    """Make the model of a row as JSON shows it.

    It describes, and nothing passes through it.
    """
    name = pascal_case(f"{table.layer}_{table.name}")
    return _model(name, [(c.name, c.dtype, c.nullable, c.description) for c in exposed(table)])


def _model(name: str, columns: Iterable[tuple[str, T.DataType, bool, str]]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for number, (column, dtype, nullable, description) in enumerate(columns):
        kind = _json_type(dtype, f"{name}{pascal_case(column)}")
        is_float = isinstance(dtype, T.FractionalType) and not isinstance(dtype, T.DecimalType)
        said = f"{description}; {_FINITE}" if is_float and description else description
        # The name of a column may be one that pydantic needs itself.
        fields[f"f{number}"] = (kind | None if nullable or is_float else kind, Field(alias=column, description=said))
    return create_model(name, **fields)


_JSON_TYPES: dict[type[T.DataType], Any] = {
    T.IntegralType: int,
    T.FractionalType: float,
    T.DecimalType: Annotated[str, WithJsonSchema({"type": "string", "format": "decimal"})],
    T.StringType: str,
    T.BooleanType: bool,
    T.DateType: date,
    T.TimestampType: datetime,
    T.BinaryType: Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64url"})],
}


def _json_type(dtype: T.DataType, name: str) -> Any:
    if isinstance(dtype, T.ArrayType):
        return list[_json_type(dtype.elementType, name) | None]  # type: ignore[misc]  # it is only looked at
    if isinstance(dtype, T.MapType):
        return dict[str, _json_type(dtype.valueType, name) | None]  # type: ignore[misc]  # as above
    if isinstance(dtype, T.StructType):
        return _model(name, [(one.name, one.dataType, True, "") for one in dtype])
    return next(kind for spark, kind in reversed(_JSON_TYPES.items()) if isinstance(dtype, spark))


# The parameter of a key column


def parameter_type(dtype: T.DataType) -> Any:
    """Return the type of a parameter that is compared with a column.

    None where there is no such.
    """
    return next((kind for spark, kind in _PARAMETERS.items() if isinstance(dtype, spark)), None)


def _exactly(pattern: str, read: Any, expected: str) -> Any:
    """Read a text only where it is written in one way.

    pydantic takes many things for a day or a number.
    """
    written = re.compile(pattern, re.ASCII)

    def parse(said: object) -> object:
        if not isinstance(said, str):
            return said
        if not written.fullmatch(said):
            raise ValueError(expected)
        try:
            return read(said)
        except (ValueError, InvalidOperation):
            raise ValueError(expected) from None

    return BeforeValidator(parse)


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


_WHOLE = r"-?[0-9]{1,19}(\.0{1,19})?"
"""JSON takes 1.0 for a whole number."""


def _int(text: str) -> int:
    return int(text.partition(".")[0])


def _whole(bits: int) -> Any:
    bound = 2 ** (bits - 1)
    return Annotated[int, Field(ge=-bound, le=bound - 1), _exactly(_WHOLE, _int, "a whole number")]


DAY: Any = Annotated[date, _exactly(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date.fromisoformat, "a day like 2024-01-31")]
FLAG: Any = Annotated[bool, _exactly("true|false", lambda text: text == "true", "true or false")]
VERSION: Any = Annotated[int, Field(ge=0, le=2**63 - 1), _exactly(_WHOLE, _int, "a version of the table")]
_MOMENT = _exactly(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].{5,30}", _moment, "a UTC time like 2024-01-31T12:00:00Z")
_EXACT = r"-?[0-9]{1,38}(\.[0-9]{1,38})?"
_NUMBER = _EXACT + r"([eE][+-]?[0-9]{1,3})?"
_PARAMETERS: dict[type[T.DataType], Any] = {
    T.ByteType: _whole(8),
    T.ShortType: _whole(16),
    T.IntegerType: _whole(32),
    T.LongType: _whole(64),
    T.DecimalType: Annotated[
        Decimal,
        _exactly(_EXACT, Decimal, "a number like 12.50"),
        WithJsonSchema({"type": "string", "format": "decimal", "pattern": f"^{_EXACT}$"}),
    ],
    T.FractionalType: Annotated[float, _exactly(_NUMBER, float, "a number like 12.5")],
    T.StringType: str,
    T.BooleanType: FLAG,
    T.DateType: DAY,
    T.TimestampType: Annotated[datetime, _MOMENT],
}
