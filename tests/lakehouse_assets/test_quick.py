"""Commands that only look at a lake load nothing that they do not need: each of these takes a third of a second."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.lakes import without_spark
from tests.recorded import D1, D2, hold, record

HEAVY = {"dagster", "matplotlib", "pandas", "pandera", "pyiceberg", "pyspark.pandas", "pyspark.sql.connect", "sklearn"}
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
    """A lake whose ledger, bronze and silver hold something."""
    root = tmp_path_factory.mktemp("quick")
    store = without_spark(root)
    for table in (departure_events, departures):
        hold(store, table, [D1, D2])
        record(store, table, [D1, D2])
    return root


@pytest.mark.parametrize(
    "command",
    [
        ("status", "silver.departures"),
        ("status", "silver.departures", "--json"),
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


def test_help_loads_no_table_and_no_engine(home: Path) -> None:
    found = imported(home, "--help")

    assert "airline.delay_model.commands" in found, "a control: it names the commands of the project"
    assert found & (HEAVY | ENGINES) == {"airline"}


def test_pandas_is_there_for_whoever_asks_for_it() -> None:
    code = (
        "from lake.commands.quick import spare_pandas; spare_pandas(); import sys, pyarrow as pa; "
        "assert 'pandas' not in sys.modules; "
        "frame = pa.table({'a': [1, 2]}).to_pandas(); assert frame.shape == (2, 1); "
        "import pandas as pd; assert pa.array(pd.Series([1.0, float('nan')])).null_count == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
