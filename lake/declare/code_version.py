"""Version the code that computes a table.

It changes where another row could come out. Comments, docstrings and layout are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

__all__ = ["code_version", "text_version"]

Leaves = Callable[[ModuleType], bool]
_Imports = Callable[[str, str], tuple[str, ...]]
"""Given the package of a module and its text, names what it imports."""


def code_version(name: str, leaves_out: Leaves) -> str:
    """Hash the syntax of a module and of its imports.

    Only imports of its own package count.

    Args:
        name: of the module.
        leaves_out: asked of each imported module; of those that declare tables, rows come and no code.
    """
    return _hash(map(_syntax, _used(name, leaves_out, _imported)))


def text_version(name: str, leaves_out: Leaves) -> str:
    """Hash whole texts, as earlier releases did whose hashes stand in ledgers."""
    return _hash(_used(name, leaves_out, _imported_from))


def _hash(texts: Iterator[str] | list[str]) -> str:
    return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()[:12]


def _used(name: str, leaves_out: Leaves, imported: _Imports) -> list[str]:
    """Read the texts of all modules that a module uses."""
    used: dict[str, str] = {}
    pending = [sys.modules[name]]
    while pending:
        module = pending.pop()
        if module.__name__ in used:
            continue
        used[module.__name__] = text = Path(module.__file__ or "").read_text()
        names = imported(module.__package__ or "", text)
        found = (sys.modules.get(one) for one in names if one.partition(".")[0] == name.partition(".")[0])
        pending += [one for one in found if one is not None and one.__file__ and not leaves_out(one)]
    return list(used.values())


@cache
def _imported_from(_: str, text: str) -> tuple[str, ...]:
    return tuple(node.module or "" for node in ast.walk(_parsed(text)) if isinstance(node, ast.ImportFrom))


@cache
def _imported(package: str, text: str) -> tuple[str, ...]:
    """Name whatever is imported, however it is written."""
    return tuple(_names(package, _parsed(text)))


def _names(package: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def _syntax(text: str) -> str:
    return _written(_parsed(text))


def _written(node: object) -> str:
    """Write syntax without places, the same in every release of Python."""
    if isinstance(node, list):
        return f"[{','.join(_written(one) for one in node if not _is_bare_text(one))}]"
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields)
        said = [f"{name}={_written(value)}" for name, value in fields if value is not None and value != []]
        return f"{type(node).__name__}({','.join(said)})"
    return repr(node)


def _is_bare_text(node: object) -> bool:
    """Tell whether a statement is an unused text, as a docstring is."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
