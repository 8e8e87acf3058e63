"""Jars: only the pinned bytes ever reach a JVM, and a session never needs the network for them."""

from __future__ import annotations

import os
import shutil
import socket
from collections import Counter
from pathlib import Path
from typing import Never

import pytest

import lake.engine.jars
from lake.engine.jars import LOCK, Jar, fetch, jars, jars_of, maven_cache, read_lock
from lake.errors import FolderNotWritable, JarDamaged, JarMissing, Offline

STORAGE = Jar("io.delta", "delta-storage", "4.4.0", "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Maven repository with copies of the Delta jars."""
    for jar in jars_of("delta"):
        copy = jar.path(tmp_path)
        copy.parent.mkdir(parents=True)
        shutil.copy(jar.path(maven_cache()), copy)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Never:
        raise OSError("this test has no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def flip_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_lock_pins_four_sets() -> None:
    assert Counter({name: len(members) for name, members in read_lock().items()}) == {
        "delta": 4, "spark-kafka": 4, "s3": 35, "kafka-broker": 45,
    }  # fmt: skip
    assert jars_of("delta")[2] == STORAGE


def test_no_jar_is_pinned_twice_in_a_set() -> None:
    for name, members in read_lock().items():
        assert len({(jar.group, jar.artifact) for jar in members}) == len(members), name


def test_sound_jars_are_given_without_a_network(repository: Path, no_network: None) -> None:
    assert [path.name for path in jars("delta", repository=repository)] == [
        "hadoop-bare-naked-local-fs-0.1.0.jar",
        "delta-spark_4.2_2.13-4.4.0.jar",
        "delta-storage-4.4.0.jar",
        "spark-avro_2.13-4.2.0.jar",
    ]


def test_one_flipped_byte_is_found_even_when_size_and_time_are_unchanged(repository: Path) -> None:
    path = STORAGE.path(repository)
    before = path.stat()
    flip_one_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(JarDamaged) as caught:
        jars("delta", repository=repository)
    assert caught.value.path == path
    assert caught.value.expected == f"sha256 {STORAGE.sha256}"
    assert "lakehouse setup" in str(caught.value)


def test_a_half_written_jar_is_found(repository: Path) -> None:
    path = STORAGE.path(repository)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(JarDamaged):
        jars("delta", repository=repository)


def test_a_missing_jar_is_named_with_its_place(repository: Path) -> None:
    STORAGE.path(repository).unlink()
    with pytest.raises(JarMissing) as caught:
        jars("delta", repository=repository)
    assert caught.value.jar == "io.delta:delta-storage:4.4.0"
    assert str(STORAGE.path(repository)) in str(caught.value)


def test_an_unknown_set_lists_the_sets() -> None:
    with pytest.raises(JarMissing, match="delta, spark-kafka, s3, kafka-broker"):
        jars("kafka")


def test_a_second_fetch_needs_no_network(repository: Path, no_network: None) -> None:
    lines: list[str] = []
    assert len(fetch("delta", lines.append, repository=repository)) == 4
    assert lines == []


def test_offline_is_said_as_such_and_leaves_nothing_behind(tmp_path: Path, no_network: None) -> None:
    with pytest.raises(Offline) as caught:
        fetch("delta", repository=tmp_path)
    assert caught.value.retryable
    assert "this test has no network" in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_jar_is_replaced_by_a_sound_one(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from_maven_cache(monkeypatch)
    flip_one_byte(STORAGE.path(repository))
    lines: list[str] = []
    fetch("delta", lines.append, repository=repository)
    assert lines == ["io.delta:delta-storage:4.4.0 (damaged, again)"]
    assert jars("delta", repository=repository)[2] == STORAGE.path(repository)


def test_a_download_with_other_bytes_never_takes_the_place(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from_maven_cache(monkeypatch, spoil=flip_one_byte)
    STORAGE.path(repository).unlink()
    with pytest.raises(JarDamaged):
        fetch("delta", repository=repository)
    assert not STORAGE.path(repository).exists()


def serve_from_maven_cache(monkeypatch: pytest.MonkeyPatch, spoil: object = None) -> None:
    """Stand in for the network: `_resolve` copies from this machine's Maven cache."""

    def copy(jar: Jar, repository: Path) -> Path:
        target = repository / "downloaded.jar"
        shutil.copy(jar.path(maven_cache()), target)
        if callable(spoil):
            spoil(target)
        return target

    monkeypatch.setattr(lake.engine.jars, "_resolve", copy)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_from_maven_cache(monkeypatch)
    blocked = tmp_path / "m2"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(FolderNotWritable) as caught:
        fetch("delta", repository=blocked)
    assert caught.value.folder == blocked
    assert "export M2_REPO=" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["io.delta:delta-storage:4.4.0", "io.delta:delta-storage:4.4.0 sha256:abc", "io.delta:../x:1 sha256:" + "a" * 64],
)
def test_a_malformed_line_of_the_lock_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(f"[delta]\n{line}\n")
    with pytest.raises(JarDamaged, match=r"jars\.lock line 2"):
        read_lock(lock)


def test_the_cache_follows_the_variable_that_maven_tools_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2_REPO", "/somewhere/else")
    assert maven_cache() == Path("/somewhere/else")
    assert LOCK.name == "jars.lock"
