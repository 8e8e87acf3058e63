"""A lock file of another user is told, with the remedy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lake.errors import FolderNotWritable
from lake.storage.lease import is_followed, lease
from lake.write.store import LOCKS
from tests.lakes import without_spark

NOBODY = 65534


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """As a user who has no rights; root becomes one, anybody else has none on what is locked away below."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def locks() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    home.chmod(0o755)
    folder = home / "tables" / LOCKS
    folder.mkdir(parents=True)
    for name in ("silver.marks.lock", "lake.streams.lock"):
        (folder / name).touch()
        (folder / name).chmod(0)
    yield folder
    shutil.rmtree(home)


def test_a_table_s_lock_of_another_user_is_named(locks: Path) -> None:
    store = without_spark(locks.parents[1])

    with as_somebody_else(), pytest.raises(FolderNotWritable) as refused, store.lock("silver.marks"):
        pass

    assert str(locks) in str(refused.value)
    assert "silver.marks.lock: Permission denied; it may belong to another user" in str(refused.value)


def test_the_streams_lock_of_another_user_is_named(locks: Path) -> None:
    with as_somebody_else(), pytest.raises(FolderNotWritable, match=r"lake\.streams\.lock"), lease(locks):
        pass
    with as_somebody_else(), pytest.raises(FolderNotWritable, match=r"lake\.streams\.lock"):
        is_followed(locks)
