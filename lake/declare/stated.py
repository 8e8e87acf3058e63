"""Say what a check of a contract states, as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["stated"]

_SIGNS: Mapping[str, tuple[str, str]] = {
    "equal_to": ("=", "value"),
    "not_equal_to": ("!=", "value"),
    "greater_than": (">", "min_value"),
    "greater_than_or_equal_to": (">=", "min_value"),
    "less_than": ("<", "max_value"),
    "less_than_or_equal_to": ("<=", "max_value"),
    "isin": ("in", "allowed_values"),
    "notin": ("not in", "forbidden_values"),
    "str_matches": ("matches", "pattern"),
}
_MOST_VALUES = 10


def stated(check: str, facts: Mapping[str, Any]) -> str:
    """Say what a check states, as `>= 0`.

    A check of a project's own comes by its name.

    Args:
        check: name of the pandera check.
        facts: its statistics, as pandera keeps them.
    """
    if check in _SIGNS:
        sign, name = _SIGNS[check]
        return f"{sign} {_pattern(facts[name]) if name == 'pattern' else _value(facts[name])}"
    if check == "in_range":
        low, high = ("<=" if facts[f"include_{end}"] else "<" for end in ("min", "max"))
        return f"{_value(facts['min_value'])} {low} value {high} {_value(facts['max_value'])}"
    if check == "str_length":
        exact = facts.get("exact_value")
        return _length(facts.get("min_value"), facts.get("max_value")) if exact is None else f"length = {exact}"
    return check


def _length(least: int | None, most: int | None) -> str:
    if least == most:
        return f"length = {least}"
    return " and ".join(
        [*([f"length >= {least}"] if least else []), *([f"length <= {most}"] if most is not None else [])]
    )


def _value(value: Any) -> str:
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, list | tuple | set | frozenset):
        shown = [_value(one) for one in (value if isinstance(value, list | tuple) else sorted(value, key=str))]
        more = [f"and {len(shown) - _MOST_VALUES} more"] if len(shown) > _MOST_VALUES else []
        return f"[{', '.join([*shown[:_MOST_VALUES], *more])}]"
    return str(value)


def _pattern(value: Any) -> str:
    return str(getattr(value, "pattern", value))
