"""Who holds a lock, and what one that was killed leaves behind: real processes, killed for real. Needs no JVM."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lake.errors import AlreadyFollowed, TableLocked
from lake.storage.holder import find_process, read_holder
from lake.storage.lease import lease
from lake.testing.lakes import open_lake
from lake.write.store import LOCKS, DeltaStore

ROOT = Path(__file__).parents[2]

WRITER = """
import subprocess, sys
from pathlib import Path
from lake.storage.holder import hold, note_session
home = Path(sys.argv[1])
locks = home / "tables" / ".locks"
locks.mkdir(parents=True)
table, streams = locks / "silver.marks.lock", locks / "lake.streams.lock"
for lock in (table, streams):
    lock.touch()
with hold(locks / "silver.marks.holder", table), hold(locks / "lake.streams.json", streams):
    jvm = subprocess.Popen([home / "java", "600"])
    note_session(jvm)
    print(jvm.pid, flush=True)
    sys.stdin.read()
"""
"""Holds two locks, and then gets its JVM, which is any program of that name."""


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return open_lake(tmp_path, None)  # type: ignore[arg-type]  # locks need no session


@pytest.fixture
def jvm(tmp_path: Path, store: DeltaStore) -> Iterator[psutil.Process]:
    """The JVM of a writer that was killed while it had the lock."""
    (tmp_path / "java").symlink_to(shutil.which("sleep") or "")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        left = psutil.Process(int(writer.stdout.readline()))
        writer.kill()
    yield left
    if left.is_running():
        left.kill()


def test_who_takes_the_lock_of_a_killed_writer_waits_until_its_jvm_has_ended(
    store: DeltaStore, jvm: psutil.Process
) -> None:
    told: list[str] = []

    def end(message: str) -> None:
        told.append(message)
        jvm.kill()

    store.on_wait = end
    with store.lock("silver.marks"):
        assert find_process(jvm.pid, jvm.create_time() if jvm.is_running() else 0) is None
    assert told == [f"silver.marks: waiting for JVM {jvm.pid} of a writer that was killed (Ctrl-C stops waiting)"]


def test_a_jvm_that_does_not_end_keeps_the_table_locked_and_is_named(store: DeltaStore, jvm: psutil.Process) -> None:
    impatient = replace(store, lock_timeout_seconds=0.1, on_wait=lambda _: None)
    for _ in range(2):  # the first that gives up does not open the door for the second
        with pytest.raises(TableLocked, match=f"JVM {jvm.pid} of a writer"), impatient.lock("silver.marks"):
            raise AssertionError("two writers at once")
    with impatient.lock("bronze.mark_files"):
        pass
    jvm.kill()
    with store.lock("silver.marks"):
        pass


def test_streams_wait_for_the_same_jvm(store: DeltaStore, jvm: psutil.Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.storage.lease.JVM_ENDS_WITHIN_SECONDS", 0.1)
    with pytest.raises(AlreadyFollowed, match=f"JVM {jvm.pid}"), lease(store.locks):
        raise AssertionError("two drivers at once")
    jvm.kill()
    with lease(store.locks):
        pass


def test_the_copy_of_a_lake_does_not_wait_for_the_writers_of_the_original(
    store: DeltaStore, jvm: psutil.Process, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "tables", tmp_path / "copy" / "tables")
    copy = replace(open_lake(tmp_path / "copy", None), on_wait=pytest.fail)  # type: ignore[arg-type]
    with copy.lock("silver.marks"):
        assert jvm.is_running()


def test_a_number_that_another_process_has_by_now_is_not_waited_for(store: DeltaStore) -> None:
    store.locks.mkdir(parents=True)
    facts = {"pid": 1, "started": 1.0, "jvms": [{"pid": os.getppid(), "started": 1.0}]}
    (store.locks / "silver.marks.holder").write_text(json.dumps(facts))
    with replace(store, on_wait=pytest.fail).lock("silver.marks"):
        pass


@pytest.mark.parametrize("content", ["", "pid 4711", "[]", '{"pid": 1}', '{"pid": 1, "started": 2, "jvms": [3]}'])
def test_a_record_that_cannot_be_read_stops_nobody(store: DeltaStore, content: str) -> None:
    store.locks.mkdir(parents=True)
    record = store.locks / "silver.marks.holder"
    record.write_text(content)
    assert read_holder(record) is None
    with store.lock("silver.marks"):
        assert str(read_holder(record)) == f"pid {os.getpid()}"


def test_an_interrupted_writer_stays_on_record_since_its_jvm_may_go_on(store: DeltaStore) -> None:
    record = store.locks / "silver.marks.holder"

    def stop_with(error: BaseException) -> None:
        with store.lock("silver.marks"):
            raise error

    with pytest.raises(KeyboardInterrupt):
        stop_with(KeyboardInterrupt())
    assert record.exists()
    with pytest.raises(ValueError, match="failed"):  # the process itself may go on
        stop_with(ValueError("failed"))
    assert not record.exists()


def test_two_homes_over_one_folder_of_tables_meet_at_one_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def home(name: str, tables: str) -> DeltaStore:
        one = open_lake(tmp_path / name, None)  # type: ignore[arg-type]
        return DeltaStore(tables, one.landing, tmp_path / name / "locks", one.session, lock_timeout_seconds=0.1)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    tables = str(tmp_path / "shared")
    others: list[Callable[[], DeltaStore]] = [
        lambda: home("b", tables), lambda: home("b", "shared"), lambda: home("b", str(tmp_path / "link" / "shared")),
    ]  # fmt: skip
    with home("a", tables).lock("silver.marks"):
        for other in others:
            with pytest.raises(TableLocked, match=f"pid {os.getpid()}"), other().lock("silver.marks"):
                raise AssertionError("two writers at once")
    assert home("a", tables).locks == tmp_path / "shared" / LOCKS
    assert home("a", "s3://bucket/tables").locks == tmp_path / "a" / "locks"
