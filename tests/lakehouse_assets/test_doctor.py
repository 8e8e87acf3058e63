"""The doctor: a healthy machine passes every check, and each ill is named with its remedy."""

from __future__ import annotations

import socket
import sys
import types
from pathlib import Path

import psutil
import pytest

from airline.doctor import check_source_data
from lake.commands import doctor
from lake.commands.doctor import (
    check_home,
    check_jars,
    check_java,
    check_memory,
    check_packages,
    check_port,
    check_project_modules,
    check_python,
    check_spark_home,
    check_writable,
    run_checks,
)
from lake.engine.jars import LOCK
from lake.engine.java import find_java
from lake.errors import FolderNotWritable, JavaMissing
from lake.project.settings import Settings

PROJECT = Path(__file__).parents[2]


def settings_in(home: Path) -> Settings:
    return Settings.from_env({"LAKEHOUSE_HOME": str(home)})


def test_this_machine_is_healthy_apart_from_who_listens_on_the_port(tmp_path: Path) -> None:
    checks = run_checks(settings_in(tmp_path / "new" / "home"))
    assert [check.name for check in checks if not check.ok and check.name != "port"] == []
    assert not (tmp_path / "new").exists()


def test_checks_stand_in_the_order_of_repair(tmp_path: Path) -> None:
    assert [check.name for check in run_checks(settings_in(tmp_path))] == [
        "Python", "packages", "Dagster", "Java", "jars", "Spark", "memory", "project", "tables", "data",
        "LAKEHOUSE_HOME", "temporary folder", "port",
    ]  # fmt: skip


def test_only_an_ill_check_carries_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CONF_DIR", "/etc/spark")
    for check in run_checks(settings_in(tmp_path)):
        assert bool(check.remedy) is (not check.ok), check


def test_a_java_home_that_is_passed_over_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = find_java().home
    monkeypatch.setenv("JAVA_HOME", str(used))
    assert "JAVA_HOME" not in check_java().found
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert f"not JAVA_HOME={tmp_path / 'nowhere'}" in check_java().found


def test_an_old_python_is_told() -> None:
    check = check_python((3, 10, 4))
    assert not check.ok
    assert check.found.startswith("3.10.4 in ")
    assert "3.11" in check.remedy


def test_a_package_of_another_version_is_named_with_both(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("pyspark==9.9.9 \\\n    --hash=sha256:00\ndagster-nowhere==1.0 \\\nrich==0.0.1 \\\n")
    check = check_packages(lock)
    assert not check.ok
    assert check.found == "pyspark expected 9.9.9, found 4.2.0; dagster-nowhere expected 1.0, found missing"


def test_a_project_without_a_lock_has_nothing_to_compare_with(tmp_path: Path) -> None:
    check = check_packages(tmp_path / "requirements.lock")
    assert (check.ok, check.found) == (True, f"no {tmp_path / 'requirements.lock'} to compare with")


def test_a_missing_java_becomes_a_finding_with_the_install_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise JavaMissing(["PATH"])

    monkeypatch.setattr(doctor, "find_java", none)
    java = next(check for check in run_checks(settings_in(tmp_path)) if check.name == "Java")
    assert not java.ok
    assert "apt-get install" in java.remedy


def test_a_missing_jar_becomes_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    found = next(check for check in run_checks(settings_in(tmp_path)) if check.name == "jars")
    assert not found.ok
    assert "com.globalmentor:hadoop-bare-naked-local-fs:0.1.0" in found.found
    assert found.remedy == "lakehouse setup"


def test_the_jars_are_counted() -> None:
    assert check_jars().found.startswith("4 verified in ")


@pytest.mark.parametrize(
    ("pinned", "other", "found"),
    [
        ("_2.13:4.4.0", "_2.13:4.3.1", "delta-spark is 4.4.0, its jar in jars.lock 4.3.1"),
        ("_2.13:4.2.0", "_2.13:4.1.0", "pyspark is 4.2.0, its jar in jars.lock 4.1.0"),
        ("spark-sql-kafka", "spark-sql-rabbit", "pyspark is 4.2.0, its jar in jars.lock missing"),
    ],
)
def test_a_jar_of_another_version_than_its_package_is_named_with_both(
    tmp_path: Path, pinned: str, other: str, found: str
) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(LOCK.read_text().replace(pinned, other))

    check = check_jars(lock=lock)

    assert (check.ok, check.found) == (False, found)
    assert check.remedy.startswith(
        "make setup; if it does not help, write the package's version into lake/engine/jars.lock"
    )


def test_a_package_that_takes_our_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = types.ModuleType("resources")
    stranger.__file__ = "/usr/lib/python3/site-packages/resources/__init__.py"
    monkeypatch.setitem(sys.modules, "resources", stranger)
    check = check_project_modules(settings_in(tmp_path))
    assert not check.ok
    assert check.found == "resources comes from /usr/lib/python3/site-packages/resources/__init__.py"
    assert str(PROJECT) not in check.found


def test_a_foreign_spark_configuration_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CONF_DIR", "/etc/spark/conf")
    assert not check_spark_home().ok


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(total=2 * 2**30))
    check = check_memory()
    assert not check.ok
    assert check.found == "2.0 GiB"


def test_a_folder_that_cannot_be_made_is_told_and_nothing_is_left_in_one_that_can(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert not check_writable("LAKEHOUSE_HOME", in_the_way).ok
    assert check_writable("LAKEHOUSE_HOME", tmp_path / "a" / "b").ok
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_read_only_file_system_is_told_with_the_variable_to_set() -> None:
    check = check_writable("LAKEHOUSE_HOME", Path("/proc/lakehouse"))
    assert not check.ok
    assert "/proc/lakehouse cannot be written" in check.found
    assert check.remedy == "export LAKEHOUSE_HOME=/a/folder/you/own"


def production(tmp_path: Path, settings: str, **variables: str) -> Settings:
    """A project whose file says this of production."""
    table = f"[tool.lakehouse]\nfirst_day = 2024-03-01\n[tool.lakehouse.environments.production]\n{settings}\n"
    (tmp_path / "pyproject.toml").write_text(table)
    chosen = {"LAKEHOUSE_PROJECT": str(tmp_path), "LAKEHOUSE_ENVIRONMENT": "production"}
    return Settings.from_env(chosen | variables)


def test_a_home_that_the_project_names_and_nobody_made_is_to_be_made_for_this_user(tmp_path: Path) -> None:
    settings = production(tmp_path, 'home = "/proc/a home"')

    check = check_home(settings)
    with pytest.raises(FolderNotWritable) as refused:
        settings.make_folders()

    assert not check.ok
    assert check.remedy == (
        f"make it for this user: sudo install -d -o {psutil.Process().username()} '/proc/a home'; or "
        f"change `home` in [tool.lakehouse.environments.production] of {tmp_path}/pyproject.toml"
    )
    assert refused.value.message().next_step == check.remedy


def test_a_home_of_a_variable_is_mended_by_the_variable(tmp_path: Path) -> None:
    settings = production(tmp_path, 'home = "/var/lib/shop"', LAKEHOUSE_HOME="/proc/shop")

    assert check_home(settings).remedy == "export LAKEHOUSE_HOME=/a/folder/you/own"


def test_a_landing_folder_that_cannot_be_made_is_told_by_its_own_name(tmp_path: Path) -> None:
    settings = production(tmp_path, f'home = "{tmp_path}/home"\nlanding = "/proc/landing"')

    with pytest.raises(FolderNotWritable, match=r"(?s)^folder /proc/landing: .* or change `landing` in "):
        settings.make_folders()


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        check = check_port(port)
    assert not check.ok
    assert f"127.0.0.1:{port} is in use" in check.found


def test_missing_flight_records_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.files", lambda _: [])
    check = check_source_data()
    assert not check.ok
    assert "flights.csv.zip" in check.found


def test_a_check_that_breaks_is_a_finding_and_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ValueError("unexpected")

    monkeypatch.setattr(doctor, "check_memory", broken)
    checks = {check.name: check for check in run_checks(settings_in(tmp_path))}
    assert checks["memory"].found == "ValueError: unexpected"
    assert checks["LAKEHOUSE_HOME"].ok
