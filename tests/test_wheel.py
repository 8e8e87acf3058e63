"""The wheel, built from the repository with the locked tools: what a project installs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.shop import write_shop

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[1]
SOURCES = ("lake", "airline", "lakehouse_assets", "resources", "sensors", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy, because a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), "."]
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=source, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_files_of_the_framework_and_nothing_of_its_example(wheel: Path) -> None:
    expected = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "lake").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    held = set(zipfile.ZipFile(wheel).namelist())

    assert "lake/engine/jars.lock" in expected
    assert expected - held == set()
    assert {name.split("/")[0] for name in held if ".dist-info/" not in name} == {"lake"}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and the locked packages, but knows no checkout.

    The folder of the locked packages is named in a file, because Python reads no such files in folders named that way:
    what leads from there to the checkout is not followed.
    """
    environment = tmp_path_factory.mktemp("environment")
    packages = install_wheel(wheel, environment)
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


def install_wheel(wheel: Path, environment: Path) -> Path:
    """Make an environment that has the wheel alone, and return the folder of its packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    python = ["--python", str(environment / "bin" / "python")]
    subprocess.run([sys.executable, "-m", "pip", *python, *install], check=True)
    return packages


def needed_by(requirements: Iterable[str]) -> dict[str, Distribution]:
    """The locked distributions that these requirements bring, by name and extra; as pip reads them."""
    found: dict[str, Distribution] = {}
    waiting = [(Requirement(one), "") for one in requirements]
    while waiting:
        needed, asked_by = waiting.pop()
        if needed.marker is not None and not needed.marker.evaluate({"extra": asked_by}):
            continue
        for extra in ["", *needed.extras]:
            if (name := f"{canonicalize_name(needed.name)}[{extra}]") not in found:
                found[name] = distribution(needed.name)
                waiting += [(Requirement(one), extra) for one in found[name].requires or ()]
    return found


@pytest.fixture(scope="module")
def installed_alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment as `pip install lakehouse` makes it: what the wheel asks for, no extra."""
    environment = tmp_path_factory.mktemp("alone")
    packages = install_wheel(wheel, environment)
    (metadata,) = packages.glob("lakehouse-*.dist-info")
    for one in needed_by(PathDistribution(metadata).requires or ()).values():
        for file in {Path(path.parts[0]) for path in one.files or ()} - {Path("..")}:
            if not (packages / file).exists():
                (packages / file).symlink_to(Path(str(one.locate_file(file))))
    return environment / "bin"


def run(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    ours = ("LAKEHOUSE_", "PYTHON", "DAGSTER_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run([str(program), *arguments], cwd=folder, env=env, capture_output=True, text=True)


def test_in_an_empty_folder_the_command_comes_from_the_wheel_and_asks_for_a_project(
    installed: Path, tmp_path: Path
) -> None:
    where = (
        "import importlib.util as u, lake.engine.jars; print(lake.engine.jars.LOCK, u.find_spec('lakehouse_assets'))"
    )
    assert run(installed / "python", "-c", where, folder=tmp_path).stdout.split()[1:] == ["None"]
    found = run(installed / "python", "-c", where, folder=tmp_path).stdout.split()[0]
    assert Path(found).is_relative_to(installed.parent)

    shown = run(installed / "lakehouse", "--help", folder=tmp_path)
    assert (shown.returncode, "replay" in shown.stdout) == (0, False)
    asked = run(installed / "lakehouse", "status", folder=tmp_path)
    assert (asked.returncode, "no pyproject.toml with [tool.lakehouse]" in asked.stderr) == (2, True)


def test_a_project_of_two_tables_loads_in_dagster_follows_a_stream_and_answers_sql(
    installed: Path, tmp_path: Path
) -> None:
    write_shop(tmp_path)

    load = "from shop.definitions import defs; print(*sorted(defs().resolve_asset_graph().get_all_asset_keys()))"
    loaded = run(installed / "python", "-c", load, folder=tmp_path)
    followed = run(installed / "lakehouse", "follow", "--until-idle", folder=tmp_path)
    query = "from silver.orders order by number"
    rows = run(installed / "lakehouse", "sql", "--csv", query, folder=tmp_path)
    looked = run(installed / "lakehouse", "status", folder=tmp_path)

    assert [part for part in loaded.stdout.split("'") if part.isidentifier()] == [
        *("bronze", "order_events"), *("feeds", "order_messages"), *("silver", "orders"),
    ], loaded.stderr  # fmt: skip
    assert followed.returncode == 0, followed.stderr
    assert "1 rejected, 1 duplicates" in followed.stdout
    assert rows.stdout.splitlines()[1:] == ["1,20,2024-03-01", "2,30,2024-03-01"]
    assert "silver.orders" in looked.stdout, looked.stderr


SINK = """
from lake.declare.destinations import DuckDb
from lake.declare.sink import sink
from shop.silver.orders import orders

order_board = sink(reads=orders, to=DuckDb("board.duckdb"), settled_only=False)
"""
BATCH = """
from lake.batch.refresh import refresh
from lake.project.environment import open_environment

lake = open_environment()
for table in lake.tables.values():
    print(table.full_name, refresh(table, lake.store, lake.settings.calendar()).check().total.rows_out)
"""
LIKE_SHOP = ["1,20,2024-03-01", "2,30,2024-03-01"]


@pytest.mark.slow
def test_without_dagster_tables_run_in_batch_and_as_streams_and_only_what_needs_it_says_so(
    installed_alone: Path, tmp_path: Path
) -> None:
    """From the dependencies of the wheel alone, so that none of them is missing there either."""
    batch, stream = tmp_path / "batch", tmp_path / "stream"
    for folder in (batch, stream):
        write_shop(folder)
        (folder / "shop" / "serving").mkdir()
        (folder / "shop" / "serving" / "order_board.py").write_text(SINK)

    def lakehouse(*words: str, folder: Path = batch) -> subprocess.CompletedProcess[str]:
        return run(installed_alone / "lakehouse", *words, folder=folder)

    there = run(
        installed_alone / "python", "-c", "import importlib.util as u; print(u.find_spec('dagster'))", folder=batch
    )
    doctor = lakehouse("doctor")
    computed = run(installed_alone / "python", "-c", BATCH, folder=batch)
    followed = lakehouse("follow", "--until-idle", folder=stream)
    rows = [lakehouse("sql", "--csv", "from silver.orders order by number", folder=one) for one in (batch, stream)]
    others = [
        lakehouse(*words.split())
        for words in ("--help", "status", "describe silver.orders", "quarantine silver.orders", "publish", "maintain")
    ]
    planned = lakehouse("refresh", "--plan")
    refused = [lakehouse("refresh"), lakehouse("up")]

    assert there.stdout == "None\n"
    assert (doctor.returncode, "pip install 'lakehouse[dagster]'" in doctor.stdout) == (0, True), doctor.stdout
    assert computed.stdout.split() == ["bronze.order_events", "4", "silver.orders", "2"], computed.stderr
    assert followed.returncode == 0, followed.stderr
    assert [one.stdout.splitlines()[1:] for one in rows] == [LIKE_SHOP, LIKE_SHOP], [one.stderr for one in rows]
    assert [(one.args[1], one.stderr) for one in others if one.returncode] == []
    assert "2 rows of version" in others[4].stdout
    assert planned.stdout == "nothing to do: no day is missing or stale\n", planned.stderr
    assert [one.returncode for one in refused] == [3, 3]
    assert {"pip install 'lakehouse[dagster]'" in one.stderr for one in refused} == {True}
    assert len({one.stderr for one in refused}) == 1


def make(installed: Path, target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(Path("make"), target, f"BIN={installed}", folder=folder)


@pytest.mark.slow
def test_a_new_project_passes_as_it_is_and_passes_where_its_sample_is_deleted(installed: Path, tmp_path: Path) -> None:
    written = run(installed / "lakehouse", "new", "bikes", folder=tmp_path)
    project = tmp_path / "bikes"

    shown = make(installed, "demo", project)
    tested = make(installed, "test", project)
    query = "from silver.rides select count(*), count(distinct ride), sum(minutes)::int"
    rides = run(installed / "lakehouse", "sql", "--csv", query, folder=project)
    removed = make(installed, "remove-sample", project)
    looked = run(installed / "lakehouse", "status", folder=project)
    tested_empty = make(installed, "test", project)
    linted = run(installed / "python", "-m", "ruff", "check", "--no-cache", ".", folder=project)

    assert written.returncode == 0, written.stderr
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert tested.returncode == 0, tested.stdout[-5000:]
    assert rides.stdout.splitlines()[1:] == ["24,24,423"]
    assert (removed.returncode, looked.returncode) == (0, 0), looked.stdout + looked.stderr
    assert not [name for name in ("sample", "tests/landing", "lakehouse_assets/gold/daily_districts.py")
                if (project / name).exists()]  # fmt: skip
    assert tested_empty.returncode == 0, tested_empty.stdout[-5000:]
    assert linted.returncode == 0, linted.stdout


ADDED = {
    ("bronze", "raw_rides"): "feeds.rides",
    ("silver", "parsed_rides"): "bronze.ride_events",
    ("silver", "parsed_repairs"): "bronze.repair_files,silver.stations",
    ("gold", "daily_rides"): "silver.rides,silver.stations",
    ("gold", "listed_stations"): "silver.stations",
}


@pytest.mark.slow
def test_the_tables_that_are_written_to_be_filled_in_can_be_imported_and_pass_their_tests(
    installed: Path, tmp_path: Path
) -> None:
    run(installed / "lakehouse", "new", "bikes", folder=tmp_path)
    project = tmp_path / "bikes"

    def add(layer: str, name: str, reads: str) -> subprocess.CompletedProcess[str]:
        return run(installed / "lakehouse", "add", "table", layer, name, "--reads", reads, folder=project)

    added = [add(layer, name, reads) for (layer, name), reads in ADDED.items()]
    twice = add("gold", "daily_rides", "silver.rides")
    tests = [f"tests/{layer}/test_{name}.py" for layer, name in ADDED]
    tested = run(installed / "python", "-m", "pytest", "-q", *tests, "tests/test_project.py", folder=project)
    linted = run(installed / "python", "-m", "ruff", "check", "--no-cache", ".", folder=project)

    assert [done.stderr for done in added if done.returncode] == []
    assert (twice.returncode, "nothing was written" in twice.stderr) == (2, True)
    assert (tested.returncode, "6 passed" in tested.stdout) == (0, True), tested.stdout[-5000:]
    assert linted.returncode == 0, linted.stdout
