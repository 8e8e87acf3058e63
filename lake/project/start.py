"""Start a project: copy the templates that the framework holds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from lake.errors import BadProjectName, FolderInUse, FolderNotWritable

__all__ = ["TEMPLATES", "fill_in", "start_project"]

TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "project"
"""The files of a new project, with the sample. In those whose names end in `.in`, words are filled in."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([._-]?[A-Za-z0-9]+)*", re.ASCII)
_AT_MOST = 60
_OF_THE_SAMPLE = "sample/files.txt"
_TO_FILL_IN = ".in"


def start_project(folder: Path, *, with_sample: bool) -> list[Path]:
    """Write a new project into an empty folder.

    The folder is made where it is missing.

    Args:
        folder: its last part is the name of the project.
        with_sample: whether the tables, tests and files of the sample are in it.

    Returns:
        The files, relative to the folder.

    Raises:
        BadProjectName: the folder's name cannot be the name of a Python project.
        FolderInUse: something is there already; nothing was written.
        FolderNotWritable: the folder cannot be made.
    """
    name = folder.resolve().name
    if len(name) > _AT_MOST or not _NAME.fullmatch(name):
        raise BadProjectName(name)
    if folder.is_symlink() or folder.exists():
        _refuse_used(folder)
    left_out = () if with_sample else (TEMPLATES / _OF_THE_SAMPLE).read_text(encoding="utf-8").split()
    files = [file for file in _templates() if file.as_posix() not in left_out]
    words = {"@NAME@": name, "@VERSION@": version("lakehouse")}
    try:
        return [_copy(file, folder, words) for file in files]
    except OSError as error:
        raise FolderNotWritable(folder, str(error)) from error


def _refuse_used(folder: Path) -> None:
    if not folder.is_dir():
        raise FolderInUse(folder, "is a file" if folder.exists() else "is a link to nothing")
    try:
        first = next(iter(sorted(folder.iterdir())), None)
    except OSError as error:
        raise FolderNotWritable(folder, str(error)) from error
    if first is not None:
        raise FolderInUse(folder, f"is not empty: it holds {first.name!a}")


def _templates() -> list[Path]:
    files = (file for file in TEMPLATES.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return sorted(file.relative_to(TEMPLATES) for file in files)


def _copy(template: Path, folder: Path, words: Mapping[str, str]) -> Path:
    """Copy one template into the project and return its path there.

    The path is relative to the folder.
    """
    (folder / template).parent.mkdir(parents=True, exist_ok=True)
    if template.suffix != _TO_FILL_IN:
        shutil.copy(TEMPLATES / template, folder / template)
        return template
    written = template.with_suffix("")
    (folder / written).write_text(fill_in(TEMPLATES / template, words), encoding="utf-8")
    return written


def fill_in(template: Path, words: Mapping[str, str]) -> str:
    """Read a template, with each placeholder replaced by what it stands for."""
    text = template.read_text(encoding="utf-8")
    for placeholder, word in words.items():
        text = text.replace(placeholder, word)
    return text
