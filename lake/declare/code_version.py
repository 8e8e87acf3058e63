"""Version the code that computes a table.

It changes where another row could come out. Comments, docstrings and layout are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

__all__ = ["KEPT_TEXTS", "READ_TEXTS", "ReadText", "code_version", "text_version"]

Leaves = Callable[[ModuleType], bool]


class ReadText(NamedTuple):
    """The code of a module, without comments and layout.

    Attributes:
        imported: whatever it imports, however that is written.
        sources: what it imports from, as the text has it.
        syntax: its syntax.
    """

    imported: list[str]
    sources: list[str]
    syntax: str


KEPT_TEXTS: dict[str, ReadText] = {}
"""By hash of the package, the text and what read it: of an earlier process."""
READ_TEXTS: dict[str, ReadText] = {}
"""In the same way: what this process has asked for."""


def code_version(name: str, leaves_out: Leaves) -> str:
    """Hash the syntax of a module and of its imports.

    Only imports of its own package count.

    Args:
        name: of the module.
        leaves_out: asked of each imported module; of those that declare tables, rows come and no code.
    """
    return _hash(read.syntax for read, _ in _used(name, leaves_out, lambda read: read.imported))


def text_version(name: str, leaves_out: Leaves) -> str:
    """Hash whole texts, as earlier releases did whose hashes stand in ledgers."""
    return _hash(text for _, text in _used(name, leaves_out, lambda read: read.sources))


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()[:12]


def _used(name: str, leaves_out: Leaves, imported: Callable[[ReadText], list[str]]) -> Iterable[tuple[ReadText, str]]:
    """Read all modules that a module uses, and give their texts too."""
    used: dict[str, tuple[ReadText, str]] = {}
    pending = [sys.modules[name]]
    while pending:
        module = pending.pop()
        if module.__name__ in used:
            continue
        text = Path(module.__file__ or "").read_text()
        read = _read_text(module.__package__ or "", text)
        used[module.__name__] = read, text
        found = (sys.modules.get(one) for one in imported(read) if one.partition(".")[0] == name.partition(".")[0])
        pending += [one for one in found if one is not None and one.__file__ and not leaves_out(one)]
    return used.values()


@cache
def _read_text(package: str, text: str) -> ReadText:
    """Read a text, unless an earlier process has."""
    key = hashlib.sha256(f"{_reader()}\0{package}\0{text}".encode()).hexdigest()
    found = KEPT_TEXTS.get(key)
    if found is None:
        tree = ast.parse(text)
        sources = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        found = ReadText(list(_names(package, tree)), sources, _written(tree))
    return READ_TEXTS.setdefault(key, found)


@cache
def _reader() -> str:
    """Name what reads: this file, and the grammar of a release of Python."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest() + str(sys.hexversion)


def _names(package: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


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
