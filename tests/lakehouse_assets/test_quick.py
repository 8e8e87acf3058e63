"""Commands that only look at a lake load nothing that they do not need: each of these takes a third of a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.graph import with_upstream
from lake.orchestration.checks import lasting_checks
from lake.orchestration.red_checks import RedChecks
from lake.serve.columns import LOADS, MAKE_LOADS, notes_of
from lake.serve.publish import publish
from lake.serve.source import open_source
from lake.serve.target import Place, load_of
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.serving.hourly_mirror import hourly_mirror
from lakehouse_assets.silver.departures import departures
from tests.lakes import without_spark
from tests.recorded import D1, D2, D3, hold, record

pytestmark = pytest.mark.slow

HEAVY = {
    "dagster",
    "matplotlib",
    "pandas",
    "pandera",
    "pyiceberg",
    "pyspark.pandas",
    "pyspark.sql.connect",
    "sklearn",
    "sqlalchemy",
}
NEVER = {"filelock", "lake.engine.session", "psutil", "pydantic", "rich._emoji_codes"}
"""What a look at tables that no process writes does not need either."""
CALENDAR = Days.between(D1, D3)
ENGINES = {"airline", "deltalake", "duckdb", "lakehouse_assets", "pyarrow", "pyspark"}


RUN = """
import atexit, sys
atexit.register(lambda: print("modules:", *sys.modules, file=sys.stderr))
from lake.commands.cli import main
main()
"""


def imported(home: Path, *command: str) -> set[str]:
    """The modules that a command has loaded at its end, in a real process of its own."""
    environ = {**os.environ, "LAKEHOUSE_HOME": str(home)}
    run = subprocess.run(
        [sys.executable, "-c", RUN, *command], env=environ, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return set(run.stderr.rpartition("modules: ")[2].split())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose ledger and layers hold something, and which has published it."""
    root = tmp_path_factory.mktemp("quick")
    store = without_spark(root)
    chain = (departure_events, departures, hourly_airport_performance)
    for table in chain:
        hold(store, table, [D1, D2])
    ids = {table.full_name: store.table_log(table).table_id() for table in chain}
    for table in chain:
        versions = {one.full_name: 1 if one in chain else None for one in table.inputs}
        record(store, table, [D1, D2], version=1, inputs=versions, table_ids=ids)
    RedChecks(root).note(dict.fromkeys(lasting_checks(with_upstream(chain)), ""))
    assert publish(hourly_mirror, Survey([hourly_mirror.reads], store, CALENDAR), Place(root)).days
    source = open_source(store, hourly_airport_performance)
    assert source is not None
    with duckdb.connect(root / "warehouse.duckdb") as warehouse:
        for statement in (*MAKE_LOADS, "CREATE TABLE airport_hours (airport text)"):
            warehouse.execute(statement)
        warehouse.register("notes", notes_of("airport_hours", {day: load_of(source, 7, 0) for day in (D1, D2)}))
        warehouse.execute(f"INSERT INTO {LOADS} BY NAME SELECT * FROM notes")
    return root


@pytest.mark.parametrize(
    "command",
    [
        ("status", "silver.departures"),
        ("status", "gold.hourly_airport_performance", "--json"),
        ("status",),
        ("refresh", "gold.hourly_airport_performance"),
        ("sql", "select count(*) from lake.ledger"),
        ("sql", "--json", "select 1 as one"),
        ("explain", "silver.departures", "2013-01-01"),
        ("quarantine", "silver.departures"),
    ],
    ids=" ".join,
)
def test_a_command_that_only_looks_loads_no_more_than_it_needs(home: Path, command: tuple[str, ...]) -> None:
    found = imported(home, *command)

    assert {"deltalake", "lakehouse_assets.silver.departures", "pyspark"} <= found, (
        "a control: it has looked at the tables"
    )
    assert found & HEAVY == set()


def test_a_look_at_the_state_of_tables_loads_neither_pydantic_nor_what_writes(home: Path) -> None:
    assert imported(home, "status") & NEVER == set()
    assert "pydantic" in imported(home, "status", "--json"), "a control: JSON is written by it"


def test_a_look_after_a_change_loads_what_one_before_it_did(tmp_path: Path) -> None:
    store = without_spark(tmp_path)
    hold(store, departures, [D1])
    record(store, departures, [D1], version=1)
    imported(tmp_path, "status")
    assert (tmp_path / "looks-ledger.json").exists(), "a control: it keeps the entries"
    hold(store, departures, [D2])
    record(store, departures, [D2], version=2)

    found = imported(tmp_path, "status")

    assert found & {"pyarrow._compute", "pyarrow._dataset"} == set()


def test_a_look_at_sinks_that_hold_nothing_loads_no_duckdb(tmp_path: Path) -> None:
    assert "duckdb" not in imported(tmp_path, "status")


def test_a_look_at_sinks_says_what_their_destinations_hold(home: Path) -> None:
    environ = {**os.environ, "LAKEHOUSE_HOME": str(home)}
    command = [sys.executable, "-m", "lake.commands.cli", "status", "gold.hourly_airport_performance", "--json"]

    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)

    said = {one["sink"]: one for one in json.loads(run.stdout)["sinks"]}
    assert said["serving.airport_hours"]["rows"] == 14, "a control: the file was read"
    assert said["serving.hourly_mirror"]["due"] == []


def test_help_loads_no_table_and_no_engine(home: Path) -> None:
    found = imported(home, "--help")

    assert "airline.delay_model.commands" in found, "a control: it names the commands of the project"
    assert found & (HEAVY | ENGINES) == {"airline"}


def test_pandas_is_there_for_whoever_asks_for_it() -> None:
    code = (
        "from lake.commands.quick import spare_pandas; spare_pandas(); import sys, pyarrow as pa; "
        "pa.array([1, None]); assert 'pandas' not in sys.modules; "
        "import pandas as pd; assert pa.array(pd.Series([1.0, float('nan')])).null_count == 1; "
        "assert pa.table({'a': [1, 2]}).to_pandas().shape == (2, 1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_look_reads_compute_of_pyarrow_once_it_is_used_and_starts_no_threads_of_blas() -> None:
    code = (
        "import os, sys; from lake.commands.quick import prepare_look; prepare_look(); "
        "import pyarrow as pa, numpy; from pyarrow import compute as pc; "
        "assert 'pyarrow._compute' not in sys.modules; "
        "assert 'OPENBLAS_NUM_THREADS' not in os.environ; "
        "names = [open(f'/proc/self/task/{one}/comm').read() for one in os.listdir('/proc/self/task')]; "
        "assert len([name for name in names if 'jemalloc' not in name]) == 1, names; "
        "assert pc.max(pa.array([1, 3])).as_py() == 3; "
        "import pyarrow.compute; assert pyarrow.compute is sys.modules['pyarrow.compute']; "
        "assert pyarrow.compute.min(pa.array([1, 3])).as_py() == 1; "
        "assert pa.table({'a': [1, 2]}).filter(pc.field('a') > 1).num_rows == 1"
    )
    environ = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environ)


def test_threads_of_blas_that_somebody_asks_for_are_theirs() -> None:
    code = (
        "import os; from lake.commands.quick import prepare_look; prepare_look(); "
        "assert os.environ['OPENBLAS_NUM_THREADS'] == '2'"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, env={**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    )


def test_an_import_of_pandas_hides_no_module_that_is_looked_for_meanwhile() -> None:
    code = """
import sys
from importlib.machinery import PathFinder
from lake.commands.quick import spare_pandas

class Meanwhile:
    def find_spec(self, name, path=None, target=None):
        if name == "colorsys":
            import pandas  # as another thread may, between two finders that are asked

spare_pandas()
sys.modules.pop("colorsys", None)
sys.meta_path.insert(sys.meta_path.index(PathFinder), Meanwhile())
import colorsys
assert "pandas" in sys.modules, "a control: it was imported meanwhile"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
