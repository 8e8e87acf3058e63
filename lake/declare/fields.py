"""State the columns of a contract, and read back what was stated.

A contract reads like a model of `pandera.pyspark`, and becomes one when rows are judged: `lake.declare.pandera_schema`.
pandera is not imported here, because that takes most of a second of each command. Fields made by pandera's own `Field`
are read alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import pyspark.sql.types as T

from lake.errors import CannotCompile

if TYPE_CHECKING:
    from pandera.pyspark import DataFrameSchema

__all__ = ["CHECKS", "Check", "Contract", "Facts", "Field", "Stated", "stated_columns"]

Facts = Mapping[str, Any]
"""What a check states, by pandera's names."""


class Contract:
    """Base of every contract, whose fields read like the table.

    `country: T.StringType = Field(description="ISO country code", str_length={"min_value": 2, "max_value": 2})`

    `Field(metadata={"stored": False})` states a column that the transform computes only so that it can be checked.
    `Field(metadata={"checks": {"is_sku": lambda value: ...}})` names own checks, each a Spark expression of the column.
    `Field(metadata={"pii": "direct"})` says what the column tells of a person: `lake.declare.pii`.
    """

    @classmethod
    def to_schema(cls) -> DataFrameSchema:
        """Return the contract as a schema of `pandera.pyspark`.

        It is for pandera's own `validate`. A model of pandera has it too.
        """
        from lake.declare.pandera_schema import schema_of

        return schema_of(cls.__name__, stated_columns(cls))


class _Kind(NamedTuple):
    """A check by pandera's name, and the names of its facts."""

    check: str
    facts: tuple[str, ...]


_KINDS: Mapping[str, _Kind] = {
    "eq": _Kind("equal_to", ("value",)),
    "ne": _Kind("not_equal_to", ("value",)),
    "gt": _Kind("greater_than", ("min_value",)),
    "ge": _Kind("greater_than_or_equal_to", ("min_value",)),
    "lt": _Kind("less_than", ("max_value",)),
    "le": _Kind("less_than_or_equal_to", ("max_value",)),
    "in_range": _Kind("in_range", ("min_value", "max_value", "include_min", "include_max")),
    "isin": _Kind("isin", ("allowed_values",)),
    "notin": _Kind("notin", ("forbidden_values",)),
    "str_matches": _Kind("str_matches", ("pattern",)),
    "str_length": _Kind("str_length", ("min_value", "max_value", "exact_value")),
}
"""By the names that `Field` takes, in the order in which a column's checks are looked at, which is pandera's."""
_DEFAULTS: Mapping[str, Facts] = {"in_range": {"include_min": True, "include_max": True}}

CHECKS = tuple(kind.check for kind in _KINDS.values())
"""Every check that a contract can state."""


@dataclass(frozen=True)
class Check:
    """One check of a column: its name, and what it states."""

    name: str
    statistics: Facts
    raise_warning: bool = False


@dataclass(frozen=True)
class Stated:
    """Facts of one column besides its type.

    `coerce` and `regex` can be stated by pandera's `Field` alone, and are refused.
    """

    checks: Sequence[Check] = ()
    nullable: bool = False
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    dtype_kwargs: Facts = field(default_factory=dict)
    alias: str | None = None
    coerce: bool = False
    regex: bool = False


def Field(  # noqa: N802 - as pandera spells it
    *,
    description: str = "",
    nullable: bool = False,
    alias: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    dtype_kwargs: Facts | None = None,
    **checks: Any,
) -> Any:
    """State one column of a contract.

    Args:
        description: what it holds, with its unit.
        nullable: whether it may be null; a null passes all checks.
        alias: its name, where Python cannot spell it.
        metadata: `stored`, `checks` and `pii`, as `Contract` says.
        dtype_kwargs: facts of the type.
        checks: eq, ne, gt, ge, lt, le, isin, notin and str_matches with a value; in_range and str_length with their
            facts by name. A check that is not among these is refused when the table is declared.
    """
    given = {name: value for name, value in checks.items() if value is not None}
    known = [_check(name, given[name]) for name in _KINDS if name in given]
    unknown = [Check(name, {}) for name in given if name not in _KINDS]
    return Stated([*known, *unknown], nullable, description, metadata or {}, dtype_kwargs or {}, alias)


def _check(name: str, value: Any) -> Check:
    kind = _KINDS[name]
    if isinstance(value, Mapping):
        facts = dict(value)
    elif isinstance(value, tuple) and len(kind.facts) > 1:
        facts = dict(zip(kind.facts, value, strict=False))
    else:
        facts = {"exact_value" if name == "str_length" else kind.facts[0]: value}
    if unknown := sorted(set(facts) - set(kind.facts)):
        raise TypeError(f"Field(): {name} knows no {', '.join(unknown)}; it takes {', '.join(kind.facts)}")
    return Check(kind.check, {**_DEFAULTS.get(name, {}), **facts})


def stated_columns(contract: type[Contract]) -> Iterator[tuple[str, T.DataType, Stated]]:
    """Give the columns of a contract in order, with type and facts.

    Columns of its bases come first.

    Raises:
        CannotCompile: it has a check of the whole frame, or a type that is none of Spark's.
    """
    bases = [base for base in reversed(contract.__mro__) if base is not Contract]
    attributes = {name: thing for base in bases for name, thing in vars(base).items()}
    stated = {name: _stated(thing) for name, thing in attributes.items() if not name.startswith("_")}
    hints = {
        name: hint for name, hint in get_type_hints(contract, include_extras=True).items() if not name.startswith("_")
    }
    for name in stated:
        if name not in hints or stated[name] is None:
            raise _of_no_column(contract, name, attributes[name])
    for name, hint in hints.items():
        facts = stated.get(name) or Stated()
        yield facts.alias or name, _dtype(contract, name, hint, facts.dtype_kwargs), facts


def _stated(thing: Any) -> Stated | None:
    """Read what a `Field` returned, ours or pandera's.

    None of anything else.
    """
    kind = type(thing)
    if kind.__name__ == "FieldInfo" and kind.__module__.startswith("pandera."):
        facts = (thing.metadata or {}, thing.dtype_kwargs or {}, thing.alias, thing.coerce, thing.regex)
        return Stated(thing.checks, bool(thing.nullable), thing.description or "", *facts)
    return thing if isinstance(thing, Stated) else None


def _of_no_column(contract: type[Contract], name: str, thing: object) -> CannotCompile:
    """Refuse a rule about whole rows or the whole frame.

    It would not be looked at, because keys and days are facts of the table.
    """
    options = [option for option in vars(thing) if not option.startswith("_")] if name == "Config" else []
    return CannotCompile(contract.__name__, "(the whole frame)", options[0] if options else name, CHECKS)


def _dtype(contract: type[Contract], name: str, hint: Any, facts: Facts) -> T.DataType:
    kind, *given = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if isinstance(kind, T.DataType):
        return kind
    if not (isinstance(kind, type) and issubclass(kind, T.DataType)):
        problem, remedy = f"{kind} is no type of Spark", "write a type of pyspark.sql.types, as T.LongType"
        raise CannotCompile(contract.__name__, name, "type", problem=problem, remedy=remedy)
    try:
        return kind(*given, **facts)
    except (TypeError, AssertionError) as error:
        remedy = f"state all of it, as Annotated[T.{kind.__name__}, ...]"
        raise CannotCompile(contract.__name__, name, "type", problem=str(error), remedy=remedy) from error
