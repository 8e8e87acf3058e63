"""Start projects, and set up the machine for them, from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lake.engine import class_archive, jars, java
from lake.project.add_table import add_table, inputs_of
from lake.project.environment import open_environment
from lake.project.start import start_project

__all__ = ["add_table_from_command_line", "new_from_command_line", "set_up"]


def new_from_command_line(out: Console, folder: Path, *, empty: bool) -> None:
    """Write a new project, and print the next commands.

    Raises:
        BadProjectName: the folder's name cannot be that of a project.
        FolderInUse: something is there already.
        FolderNotWritable: the folder cannot be made.
    """
    files = start_project(folder, with_sample=not empty)
    out.print(f"wrote {len(files)} files to {folder}", markup=False, soft_wrap=True)
    first = "make test" if empty else "make demo && make test"
    out.print(f"next: cd {folder} && {first}", markup=False, soft_wrap=True)


def set_up(jar_sets: Sequence[str]) -> bool:
    """Fetch what Spark needs to start, and tell whether all is there."""
    return jars.main(list(jar_sets)) == 0 and java.main() == 0 and class_archive.main([]) == 0


def add_table_from_command_line(out: Console, layer: str, name: str, reads: Sequence[str]) -> None:
    """Write a table and its test, and print where they are.

    Raises:
        BadName: the layer or the name cannot be one.
        UnknownTable: there is no such input.
        FilesThere: one of the files exists.
    """
    environment = open_environment()
    settings = environment.settings
    known = inputs_of(settings.package, environment.tables)
    files = add_table(settings.root, settings.package, layer, name, reads, known)
    for file in files:
        out.print(f"wrote {file}", markup=False, soft_wrap=True)
    out.print("next: replace every FILL IN in both, then make test", markup=False)
