"""Hand contracts to pandera, and read pandera's models.

pandera takes most of a second to import. So it is imported where rows are judged or where a project uses it, and not
by commands that only look at a lake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyspark.sql.types as T

from lake.declare.fields import CHECKS, Check, Stated
from lake.errors import CannotCompile

if TYPE_CHECKING:
    from pandera.pyspark import DataFrameSchema

__all__ = ["columns_of_model", "is_model", "schema_of"]

Column = tuple[str, T.DataType, Stated]


def is_model(contract: type) -> bool:
    """Tell whether a class derives from a model of `pandera.pyspark`."""
    return any(base.__module__.startswith("pandera.") for base in contract.__mro__)


def columns_of_model(contract: Any) -> Iterator[Column]:
    """Give the columns of a pandera model, with type and facts.

    Raises:
        CannotCompile: it has a rule about whole rows, which nobody would look at: keys and days are facts of the table.
    """
    schema = contract.to_schema()
    whole = {"unique": schema.unique, "coerce": schema.coerce, "dataframe_check": schema.checks}
    for kind in (kind for kind, asked in whole.items() if asked):
        raise CannotCompile(contract.__name__, "(the whole frame)", kind, CHECKS)
    for name, column in schema.columns.items():
        facts = (bool(column.nullable), column.description or "", column.metadata or {})
        yield name, column.dtype.type, Stated(column.checks, *facts, coerce=column.coerce, regex=column.regex)


def schema_of(name: str, columns: Iterable[Column]) -> DataFrameSchema:
    """Build the schema of `pandera.pyspark` that says what a contract states.

    Args:
        name: of the contract.
        columns: of it; a type that pandera does not know, as a struct, is left out there.

    Raises:
        TypeError, ValueError: pandera refuses what a check states.
    """
    import pandera.pyspark as pa

    return pa.DataFrameSchema(
        {
            column: pa.Column(
                _known(dtype),
                checks=[_check(pa.Check, one) for one in facts.checks],
                nullable=facts.nullable,
                description=facts.description,
                metadata=dict(facts.metadata),
            )
            for column, dtype, facts in columns
        },
        name=name,
    )


def _known(dtype: T.DataType) -> Any:
    from pandera.engines.pyspark_engine import Engine

    try:
        Engine.dtype(dtype)
    except TypeError:
        return None
    return dtype


def _check(checks: Any, stated: Any) -> Any:
    """Turn a stated check into pandera's, unless it is one."""
    if not isinstance(stated, Check):
        return stated
    facts: Mapping[str, Any] = stated.statistics
    return getattr(checks, stated.name)(**facts)
