"""Start projects, and set up the machine for them, from the command line."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lake.engine import class_archive, jars, java
from lake.project.start import start_project

__all__ = ["new_from_command_line", "set_up"]


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


def set_up() -> bool:
    """Do what a machine needs before Spark starts; tell whether it was done."""
    return jars.main(["delta"]) == 0 and java.main() == 0 and class_archive.main([]) == 0
