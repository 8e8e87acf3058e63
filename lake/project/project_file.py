"""Read `[tool.lakehouse]` of pyproject.toml and its overriding variables.

    [tool.lakehouse]
    package = "lakehouse_assets"
    first_day = 2024-01-01

    [tool.lakehouse.environments.production]
    home = "/var/lib/lakehouse"

The project is the folder that LAKEHOUSE_PROJECT names, else the nearest one with such a table, from the working
directory upwards. LAKEHOUSE_ENVIRONMENT chooses among the environments, whose settings win over those of the project. A
variable LAKEHOUSE_<NAME> wins over both.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lake.errors import BadSetting, FolderNotWritable

__all__ = ["EXTRAS", "Given", "Project", "read_extras", "read_project", "refuse_folder", "variable"]

EXTRAS = ("checks", "commands", "pages")
"""Tables that name functions of the project, by the name of a command or of a check."""

_FILE = "pyproject.toml"
_PREFIX = "LAKEHOUSE_"
_DEFAULT_ENVIRONMENT = "dev"
_SECRET = frozenset({"alert_urls", "kafka_password", "openlineage", "storage_options"})


def variable(name: str) -> str:
    """Name the environment variable that overrides a setting."""
    return f"{_PREFIX}{name.upper()}"


@dataclass(frozen=True)
class Given:
    """One setting as it was written.

    Attributes:
        name: of the setting, "first_day".
        value: what was written; text where it comes from a variable.
        folder: where a relative path starts.
        table: the table and the file that hold it; empty for a variable.
    """

    name: str
    value: Any
    folder: Path
    table: str = ""

    def refuse(self, expected: str) -> BadSetting:
        """Make the error that names a setting, its place and what it should be."""
        text = str(self.value)
        shown = f"({len(text)} characters, not shown: it may hold a key)" if self.name in _SECRET else text
        return BadSetting(self.name if self.table else variable(self.name), shown, expected, self.table)


def refuse_folder(settings: Mapping[str, Given], name: str, folder: Path, problem: str) -> FolderNotWritable:
    """Make the error for a folder that cannot be written.

    Args:
        settings: those that were given, by name.
        name: of the setting that chooses the folder.
        folder: which.
        problem: what the system said.
    """
    return FolderNotWritable(folder, problem, variable(name), settings[name].table if name in settings else "")


@dataclass(frozen=True)
class Project:
    """A project as its file and the variables describe it.

    Attributes:
        root: its folder; the working directory where there is no project.
        is_found: whether there is a project.
        environment: the one that was chosen.
        given: settings by name.
    """

    root: Path
    is_found: bool
    environment: str
    given: Mapping[str, Given]


def read_project(env: Mapping[str, str], known: Collection[str]) -> Project:
    """Read the project that these variables, or the working directory, belong to.

    Args:
        env: environment variables.
        known: names of the settings that there are.

    Raises:
        BadSetting: the project, the environment or a setting is unknown, or the file is not TOML.
    """
    root, table = _find(env)
    said = dict(table or {})
    environments = _subtable(said, "environments", root)
    named = Given("environment", said.pop("environment", _DEFAULT_ENVIRONMENT), root, _place(root, ""))
    if chosen := env.get(variable("environment")):
        named = Given("environment", chosen, root)
    if named.value not in {_DEFAULT_ENVIRONMENT, *environments}:
        raise named.refuse(f"one of {', '.join(sorted({_DEFAULT_ENVIRONMENT, *environments}))}")
    for kind in EXTRAS:
        _subtable(said, kind, root)
    own = _subtable(environments, named.value, root)
    given = {one.name: one for one in _settings(said, root, "")}
    given |= {one.name: one for one in _settings(own, root, f".environments.{named.value}")}
    for one in given.values():
        if one.name not in known:
            raise one.refuse(f"another name; the settings are {', '.join(sorted(known))}")
    here = Path.cwd()
    given |= {name: Given(name, env[variable(name)], here) for name in known if env.get(variable(name))}
    return Project(root, table is not None, str(named.value), given)


def read_extras(env: Mapping[str, str], kind: str) -> tuple[Path, Mapping[str, str]]:
    """Read the project's folder and the functions that it adds.

    A function is `module:function`, by name.

    Raises:
        BadSetting: the file cannot be read, or says something else.
    """
    root, table = _find(env)
    own = _subtable(dict(table or {}), kind, root)
    for name, value in own.items():
        if not re.fullmatch(r"[\w.]+:\w+", str(value)):
            raise Given(name, value, root, _place(root, f".{kind}")).refuse("a function, as module:function")
    return root, own


def _find(env: Mapping[str, str]) -> tuple[Path, Mapping[str, Any] | None]:
    """Find the folder of the project and what its file says.

    The working directory and None where there is no project.
    """
    here = Path.cwd()
    if named := env.get(variable("project")):
        root = here / Path(named).expanduser()
        table = _read_table(root)
        if table is None:
            raise BadSetting(variable("project"), named, f"a folder whose {_FILE} has a table [tool.lakehouse]")
        return root, table
    for folder in (here, *here.parents):
        if (table := _read_table(folder)) is not None:
            return folder, table
    return here, None


def _read_table(folder: Path) -> Mapping[str, Any] | None:
    file = folder / _FILE
    try:
        table = _parse(file.read_text(encoding="utf-8")).get("tool", {}).get("lakehouse")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except ValueError as error:
        raise BadSetting(_FILE, str(error), "a file in TOML", str(file)) from None
    if table is not None and not isinstance(table, dict):
        raise BadSetting("lakehouse", str(table), "a table", f"[tool] of {file}")
    return table


@lru_cache(maxsize=4)
def _parse(text: str) -> Mapping[str, Any]:
    """Parse a text once, because a command asks for settings and for extras."""
    return tomllib.loads(text)


def _place(root: Path, below: str) -> str:
    return f"[tool.lakehouse{below}] of {root / _FILE}"


def _subtable(table: dict[str, Any], name: str, root: Path) -> dict[str, Any]:
    """Take a table out of a table, as a copy.

    Without one, it is empty.
    """
    found = table.pop(name, {})
    if not isinstance(found, dict):
        raise Given(name, found, root, _place(root, "")).refuse("a table")
    return dict(found)


def _settings(table: Mapping[str, Any], root: Path, below: str) -> Iterator[Given]:
    return (Given(name, value, root, _place(root, below)) for name, value in table.items())
