"""Write files that survive a power cut.

What a process has written lies in memory for up to half a minute. A killed process loses nothing of it, a machine
without power does. So what others go on from is forced to the disk before they are told: first the file, then the
folders that name it. An object store keeps what it has acknowledged by itself.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from lake.storage.location import is_local

__all__ = ["append_line", "flush_commits", "flush_files", "flush_folders", "write_whole"]

_AT_ONCE = 8
"""Files that are flushed at the same time: the disk writes several in one go."""


def write_whole(file: Path, content: str | bytes, *, flush: bool = True) -> None:
    """Write a file in one step.

    A reader must see the old content or the new one.

    Args:
        file: its folder is created.
        content: text as UTF-8.
        flush: whether it must survive a power cut; without, the old content may come back.
    """
    _make(file.parent)
    aside = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with aside.open("wb") as opened:
            opened.write(content.encode() if isinstance(content, str) else content)
            opened.flush()
            if flush:
                os.fsync(opened.fileno())
        aside.replace(file)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    if flush:
        flush_folders([file.parent])


def append_line(file: Path, line: str) -> None:
    """Add a line to a file and force it to the disk.

    It begins anew behind a last line that was torn, because both would be one line that nobody can read. The file and
    its folder are created where they are missing.
    """
    is_new = not file.exists()
    _make(file.parent)
    with file.open("ab+") as opened:
        if opened.tell() and (opened.seek(-1, os.SEEK_END), opened.read(1))[1] != b"\n":
            opened.write(b"\n")
        opened.write(f"{line}\n".encode())
        opened.flush()
        os.fsync(opened.fileno())
    if is_new:
        flush_folders([file.parent])


def flush_commits(table: str, after: int | None) -> None:
    """Force commits of a local table, and their files, to the disk.

    Args:
        table: folder of the table; a URL needs nothing.
        after: the version before the first of them; None where the table did not exist.
    """
    if not is_local(table):
        return
    root = Path(table)
    commits = list(_commits(root / "_delta_log", -1 if after is None else after))
    if not commits:
        return
    data = [root / path for commit in commits for path in _added(commit)]
    version = int(commits[-1].stem)
    beside = (f"{version:020d}.crc", f"{version:020d}.checkpoint.parquet", "_last_checkpoint")
    _flush_all([*data, *commits, *(commits[-1].with_name(name) for name in beside)])
    folders = {folder for file in data for folder in _up_to(root, file.parent)}
    flush_folders([*folders, root / "_delta_log"])
    if after is None:
        flush_folders([root, *root.parents])


def flush_files(files: Iterable[Path]) -> None:
    """Force files and their names to the disk, if they exist."""
    chosen = list(files)
    _flush_all(chosen)
    flush_folders({file.parent for file in chosen})


def flush_folders(folders: Iterable[Path]) -> None:
    """Force the names in these folders to the disk."""
    for folder in folders:
        with suppress(PermissionError, FileNotFoundError):  # Windows opens none, and keeps names by itself
            _flush(folder)


def _make(folder: Path) -> None:
    """Create a folder, and force to the disk that it is there."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folders([folder.parent])


def _commits(log: Path, after: int) -> Iterator[Path]:
    """Return the commit files after a version, oldest first."""
    version = after + 1
    while (file := log / f"{version:020d}.json").is_file():
        yield file
        version += 1


def _added(commit: Path) -> Iterator[str]:
    """Return the files that a commit adds, relative to the table."""
    for line in commit.read_bytes().splitlines():
        added = json.loads(line).get("add") if line.strip() else None
        if added:
            yield unquote(added["path"])


def _up_to(root: Path, folder: Path) -> Iterator[Path]:
    """Return a folder of a table and those above it, the table's own last."""
    while folder != root and root in folder.parents:
        yield folder
        folder = folder.parent
    yield root


def _flush_all(files: list[Path]) -> None:
    """Force files and Hadoop's checksums of them to the disk.

    Hadoop refuses to read a file whose checksum is torn.
    """
    checksums = [file.with_name(f".{file.name}.crc") for file in files]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(_flush_if_there, [*files, *checksums]))


def _flush_if_there(file: Path) -> None:
    with suppress(FileNotFoundError):
        _flush(file)


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
