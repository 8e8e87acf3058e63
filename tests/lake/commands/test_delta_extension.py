"""The extension by which DuckDB reads Delta: the one that was installed, or one that bears DuckDB's signature."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path

import duckdb
import pytest

from lake.commands import delta_extension
from lake.commands.delta_extension import find_extension, is_as_installed, open_with_delta


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whether connections were opened that load an unsigned extension."""
    found: list[str] = []
    connect = duckdb.connect

    def note(config: dict[str, str]) -> duckdb.DuckDBPyConnection:
        found.append(config["allow_unsigned_extensions"])
        return connect(config=dict(config))

    monkeypatch.setattr(duckdb, "connect", note)
    return found


def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put another extension in place of the installed one: one byte of its signature differs."""
    file = tmp_path / "delta.duckdb_extension"
    shutil.copyfile(find_extension(), file)
    with file.open("r+b") as content:
        content.seek(-1, 2)
        last = content.read(1)
        content.seek(-1, 2)
        content.write(bytes([last[0] ^ 1]))
    monkeypatch.setattr(delta_extension, "find_extension", lambda: file)
    return file


def test_the_file_that_was_installed_is_known_by_its_hash(opened: list[str]) -> None:
    with open_with_delta() as connection:
        loaded = "SELECT loaded FROM duckdb_extensions() WHERE extension_name = 'delta'"
        assert connection.sql(loaded).fetchall() == [(True,)]

    assert opened == ["true"]


def test_no_unsigned_extension_is_loaded_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_with_delta() as connection:
        assert connection.sql("SELECT current_setting('allow_unsigned_extensions')").fetchall() == [(False,)]
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("SET allow_unsigned_extensions = true")
        other = changed(tmp_path, monkeypatch).rename(tmp_path / "other.duckdb_extension")
        with pytest.raises(duckdb.IOException, match="signature"):
            connection.load_extension(str(other))


def test_a_file_that_is_not_the_installed_one_is_refused_by_its_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    installed, file = find_extension(), changed(tmp_path, monkeypatch)
    monkeypatch.setattr(delta_extension, "_noted", lambda _: hash_of(installed))  # the note of the one that was there

    with pytest.raises(duckdb.IOException, match="signature"):
        open_with_delta()
    assert opened == ["false"]
    assert not is_as_installed(file)


def test_a_file_of_which_nothing_is_noted_is_taken_by_its_signature(
    monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    monkeypatch.setattr(delta_extension, "_noted", lambda _: None)

    open_with_delta().close()

    assert opened == ["false"]


def test_a_note_is_about_the_file_in_its_place(tmp_path: Path) -> None:
    elsewhere = tmp_path / "delta.duckdb_extension"
    elsewhere.write_bytes(b"")

    assert delta_extension._noted(elsewhere) is None
    assert delta_extension._noted(find_extension()) == hash_of(find_extension())


def test_a_package_that_was_not_installed_has_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_extension, "_DISTRIBUTION", "no-such-distribution-of-a-test")

    assert not is_as_installed(find_extension())


def hash_of(file: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).decode().rstrip("=")
