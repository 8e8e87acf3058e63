r"""Regular expressions of Python, rewritten so that Java finds the same texts.

A contract states a pattern as Python reads it, and Spark looks for it with Java. The two read some characters
differently: `$` is also before a line break of another kind, `.` stops at other line breaks, `\Z` means `$`. So each
part of the parsed pattern is written anew. A part that no Java pattern equals is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]  # the parser of `re`, which typeshed does not list
from typing import Any

__all__ = ["UnfitCheckError", "java_pattern"]


class UnfitCheckError(ValueError):
    """A check that Spark and Python read differently, or that no value passes.

    Attributes:
        problem: what it is.
        remedy: what to write instead.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem, self.remedy = problem, remedy


def java_pattern(pattern: str | re.Pattern[str]) -> str:
    """Write a pattern of Python for Java.

    Args:
        pattern: as `re.match` takes it: a text matches if its beginning does.

    Returns:
        A pattern that Java's `find` finds in exactly those texts that `re.match` matches.

    Raises:
        UnfitCheckError: a part of it means something else to Java.
        re.error: it is no pattern.
    """
    compiled = re.compile(pattern)
    parsed = _parser.parse(compiled.pattern, compiled.flags)
    if compiled.flags & ~re.UNICODE:
        raise UnfitCheckError("it has flags", 'write what they mean into the pattern, as "[Aa]"')
    return rf"\A(?:{_written(parsed)})"


def _written(parts: Iterable[tuple[Any, Any]]) -> str:
    return "".join(_part(kind, value) for kind, value in parts)


def _part(kind: Any, value: Any) -> str:
    writer = _WRITERS.get(kind)
    if writer is None:
        raise UnfitCheckError(f"it uses {str(kind).lower().replace('_', ' ')}", "write it without")
    return writer(value)


def _character(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else rf"\x{{{code:x}}}"


def _set(members: Iterable[tuple[Any, Any]]) -> str:
    written = []
    for kind, value in members:
        if kind is _constants.CATEGORY:
            raise UnfitCheckError(
                r"it uses \d, \s or \w, which mean other characters in Java",
                "list them, as [0-9], [ \\t] or [A-Za-z0-9_]",
            )
        if kind is _constants.NEGATE:
            written.append("^")
        elif kind is _constants.RANGE:
            written.append("-".join(map(_character, value)))
        else:
            written.append(_character(value))
    return f"[{''.join(written)}]"


_PLACES = {
    _constants.AT_BEGINNING: r"\A",
    _constants.AT_BEGINNING_STRING: r"\A",
    _constants.AT_END: r"(?=\n?\z)",
    _constants.AT_END_STRING: r"\z",
}


def _place(where: Any) -> str:
    if where not in _PLACES:
        raise UnfitCheckError(r"it uses \b or \B, whose words are other characters in Java", "state the neighbours")
    return _PLACES[where]


_ONE_CHARACTER = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN)
_MOST_REPEATED = 10_000


def _repeat(value: tuple[int, Any, Sequence[tuple[Any, Any]]]) -> str:
    least, most, parts = value
    bounds = [least] if most is _constants.MAXREPEAT else [least, most]
    if max(bounds) > _MOST_REPEATED:
        raise UnfitCheckError(f"it repeats more than {_MOST_REPEATED:,} times", "use str_length for the length")
    written = _written(parts)
    # Java goes through a group call by call, which ends in a stack overflow where a text is long.
    repeated = written if len(parts) == 1 and parts[0][0] in _ONE_CHARACTER else f"(?:{written})"
    return f"{repeated}{{{least},{'' if most is _constants.MAXREPEAT else most}}}"


def _look(name: str) -> Callable[[Any], str]:
    def write(value: tuple[int, Iterable[tuple[Any, Any]]]) -> str:
        direction, parts = value
        return f"(?{'<' if direction < 0 else ''}{name}{_written(parts)})"

    return write


def _group(value: tuple[Any, int, int, Iterable[tuple[Any, Any]]]) -> str:
    _, added, removed, parts = value
    if added or removed:
        raise UnfitCheckError("it has flags", 'write what they mean into the pattern, as "[Aa]"')
    return f"(?:{_written(parts)})"


_WRITERS: dict[Any, Callable[[Any], str]] = {
    _constants.LITERAL: _character,
    _constants.NOT_LITERAL: lambda code: f"[^{_character(code)}]",
    _constants.ANY: lambda _: r"[^\n]",
    _constants.IN: _set,
    _constants.AT: _place,
    _constants.MAX_REPEAT: _repeat,
    _constants.MIN_REPEAT: _repeat,  # which of several matches is found makes no difference to whether there is one
    _constants.BRANCH: lambda value: f"(?:{'|'.join(map(_written, value[1]))})",
    _constants.SUBPATTERN: _group,
    _constants.ASSERT: _look("="),
    _constants.ASSERT_NOT: _look("!"),
}
