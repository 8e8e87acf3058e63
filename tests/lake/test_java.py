"""Java: the first one that Spark accepts is taken; none, an old one and a cut-down one are told apart."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import lake.engine.java
from lake.engine.java import Java, fetch_java, find_java
from lake.errors import JavaMissing, JavaWrong


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any Java: nothing on the PATH, in the environment or in the usual folders."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(lake.engine.java, "_INSTALL_FOLDERS", (str(tmp_path / "jvm" / "*"),))
    (tmp_path / "venv").mkdir()


def install(home: Path, version: str, *, modules: str = "java.base jdk.incubator.vector", release: bool = True) -> Path:
    """A folder that looks like a Java and, asked, tells its version as Java does."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nprintf "    java.home = {home}\\n    java.version = {version}\\n" >&2\n')
    program.chmod(0o755)
    if release:
        (home / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


def test_a_machine_without_java_is_told_what_to_install_for_each_system() -> None:
    with pytest.raises(JavaMissing) as caught:
        find_java()
    text = str(caught.value)
    assert "apt-get install" in text
    assert "dnf install" in text
    assert "brew install" in text


def test_where_none_can_be_fetched_the_reason_stands_beside_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline() -> Path:
        raise OSError("Name or service not known")

    monkeypatch.setattr(lake.engine.java, "_download", offline)
    lines: list[str] = []
    with pytest.raises(JavaMissing) as caught:
        fetch_java(lines.append)
    assert lines == ["no Java 17 or newer on this machine; fetching Temurin 17"]
    assert "fetching one failed: OSError: Name or service not known" in str(caught.value)
    assert "apt-get install" in str(caught.value)


def test_a_fetched_java_is_found_again_without_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = install(tmp_path / "cache" / "temurin", "17.0.19")
    monkeypatch.setattr(lake.engine.java, "_download", lambda: home)
    fetch_java()
    assert find_java().home.resolve() == home
    assert find_java().version == "17.0.19"


def test_only_an_old_java_is_named_with_its_version_and_place(tmp_path: Path) -> None:
    install(tmp_path / "jvm" / "java-8", "1.8.0_402")
    with pytest.raises(JavaWrong) as caught:
        find_java()
    assert caught.value.found == "Java 1.8.0_402"
    assert caught.value.home == tmp_path / "jvm" / "java-8"
    assert "apt-get install" in str(caught.value)


def test_a_cut_down_java_is_refused_before_it_fails_without_a_word(tmp_path: Path) -> None:
    install(tmp_path / "jvm" / "jlinked", "21.0.8", modules="java.base java.se")
    with pytest.raises(JavaWrong, match=r"without the module jdk\.incubator\.vector"):
        find_java()


def test_an_old_java_home_does_not_hide_a_good_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(install(tmp_path / "old", "11.0.2")))
    install(tmp_path / "jvm" / "java-21", "21.0.4")
    assert find_java().home == tmp_path / "jvm" / "java-21"


def test_java_home_is_the_first_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "jvm" / "java-21", "21.0.4")
    monkeypatch.setenv("JAVA_HOME", str(install(tmp_path / "chosen", "17.0.1")))
    assert find_java().version == "17.0.1"


def test_a_java_on_the_path_is_followed_to_its_home(tmp_path: Path) -> None:
    home = install(tmp_path / "opt" / "jdk", "17.0.1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    assert find_java().home == home


def test_a_wrapper_without_a_release_file_is_asked(tmp_path: Path) -> None:
    home = install(tmp_path / "jvm" / "shim", "17.0.1", release=False)
    assert find_java() == Java("17.0.1", home)


def test_a_program_that_is_no_java_is_passed_over(tmp_path: Path) -> None:
    stub = tmp_path / "jvm" / "stub" / "bin" / "java"
    stub.parent.mkdir(parents=True)
    stub.write_text("#!/bin/sh\necho 'No Java runtime present, requesting install.' >&2\nexit 1\n")
    stub.chmod(0o755)
    with pytest.raises(JavaMissing):
        find_java()


@pytest.mark.parametrize(
    ("version", "release"),
    [("1.8.0_402", 8), ("11.0.2", 11), ("17", 17), ("21.0.8+9", 21), ("25-ea", 25), ("unknown", 0)],
)
def test_the_release_is_read_from_every_form_of_version(version: str, release: int) -> None:
    assert Java(version, Path("/java")).release == release
