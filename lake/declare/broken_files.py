"""Find table files that cannot be imported, so that other tables go on.

Each is named with file and line.

In tests `discover` raises instead, so that a malformed declaration never gets as far as this.
"""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType

from lake.declare.sink import Sink, discover_sinks
from lake.declare.table import Table, discover
from lake.errors import DeclarationError

__all__ = ["BrokenFile", "find_sinks", "find_tables"]


@dataclass(frozen=True)
class BrokenFile:
    """Name a table that is left out, and the line to mend.

    Its own file, or one that this imports, cannot be imported.

    Attributes:
        table: `layer.name`, by the file's place; `layer.*` where a whole layer is left out.
        file: the file to mend.
        line: where in it; 0 where nobody knows.
        problem: what is wrong there.
        is_own: whether it is the table's own file, not one that this imports.
    """

    table: str
    file: str
    line: int
    problem: str
    is_own: bool

    def __str__(self) -> str:
        imports = "" if self.is_own else "it imports "
        return f"{self.table} is left out: {imports}{self.file}, line {self.line}: {self.problem}"

    @property
    def error(self) -> DeclarationError:
        """The same for who asks for this very table."""
        problem = f"line {self.line}: {self.problem}; {self.table} is left out"
        return DeclarationError(self.file, problem, "mend that line, then run this again; lakehouse doctor looks again")


def find_tables(package: ModuleType) -> tuple[dict[str, Table], Sequence[BrokenFile]]:
    """Find the tables of a package, and its files that cannot be imported."""
    broken: list[BrokenFile] = []
    tables = discover(package, lambda module, error: broken.append(_locate(package, module, error)))
    return tables, sorted(broken, key=lambda one: not one.is_own)  # the files to be mended first


def find_sinks(package: ModuleType) -> tuple[dict[str, Sink], Sequence[BrokenFile]]:
    """Find the sinks of a package, and its files that cannot be imported."""
    broken: list[BrokenFile] = []
    sinks = discover_sinks(package, lambda module, error: broken.append(_locate(package, module, error)))
    return sinks, broken


def _locate(package: ModuleType, module: str, error: Exception) -> BrokenFile:
    """Find the line to mend, the innermost of the package in the traceback."""
    folder = Path(next(iter(package.__path__)))
    went_through = [*traceback.walk_tb(error.__traceback__), *traceback.walk_tb(_cause(error))]
    frames = [(Path(frame.f_code.co_filename), line) for frame, line in went_through]
    within = [(file, line) for file, line in frames if file.is_relative_to(folder)]
    file, line = within[-1] if within else (folder, 0)
    if isinstance(error, SyntaxError) and error.filename:
        file, line = Path(error.filename), error.lineno or 0
    _, layer, *names = module.rsplit(".", 1 if module.count(".") == 1 else 2)
    return BrokenFile(
        f"{layer}.{names[0] if names else '*'}", str(file), line, _problem(error, line), _is_of(module, file)
    )


def _cause(error: Exception) -> TracebackType | None:
    return error.__cause__.__traceback__ if error.__cause__ else None


def _is_of(module: str, file: Path) -> bool:
    try:
        found = importlib.util.find_spec(module)
    except Exception:  # looking for a module imports the package that it lies in, which may be what is broken
        return True
    return found is None or found.origin is None or Path(found.origin) == file


def _problem(error: Exception, line: int) -> str:
    if isinstance(error, DeclarationError):
        return f"{error.problem.removeprefix(f'line {line}: ')}; {error.remedy}"
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {said.splitlines()[0] if said else 'no message'}"
