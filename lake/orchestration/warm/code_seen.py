"""Notice that the code which a process has loaded has changed on the disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

__all__ = ["CodeSeen"]

_Mark = tuple[int, int] | None


class CodeSeen:
    """Remember the files that this process has loaded code from.

    They are those of a project and of all modules, as they were when it met them. Make it before the project is
    imported, and note what was loaded afterwards. A file that is new in one of the folders counts too, because it may
    declare a table. So does another calendar, because definitions hold the one with which they were loaded.
    """

    def __init__(
        self, folders: Iterable[Path], files: Iterable[Path], calendar: Callable[[], object] = lambda: None
    ) -> None:
        self._calendar, self._loaded_calendar = calendar, calendar()
        self._folders = [folder for folder in folders if folder.is_dir()]
        self._files = list(files)
        self._marks: dict[Path, _Mark] = {}
        self.note_loaded()

    def note_loaded(self) -> None:
        """Note the modules that were loaded since."""
        new = {*self._of_the_project(), *_loaded()} - self._marks.keys()
        # In one step, because other threads ask meanwhile.
        self._marks = {**self._marks, **{file: _mark(file) for file in new}}

    def has_changed(self) -> bool:
        """Tell whether the code on the disk is another one now.

        A file was changed or removed, or is new in the project.
        """
        seen = self._marks
        if any(file not in seen for file in self._of_the_project()):
            return True
        if any(_mark(file) != mark for file, mark in seen.items()):
            return True
        return self._calendar() != self._loaded_calendar

    def _of_the_project(self) -> Iterator[Path]:
        yield from self._files
        for folder in self._folders:
            yield from folder.rglob("*.py")


def _loaded() -> Iterator[Path]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            yield Path(file)


def _mark(file: Path) -> _Mark:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
