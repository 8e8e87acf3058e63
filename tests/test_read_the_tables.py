"""Every snippet of `docs/read-the-tables.md` runs, and reads what the table holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lake.declare.table import Table
from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.write.store import DeltaStore, Txn
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance as hours
from tests.recorded import record

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
D1, D2, D3 = (date(2013, 1, day) for day in (1, 2, 3))


def snippets(language: str) -> Mapping[str, str]:
    """The snippets of the page by title; of one title the second is called `title 2`."""
    found: dict[str, str] = {}
    title = ""
    pattern = r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$"
    for match in re.finditer(pattern, (ROOT / "docs" / "read-the-tables.md").read_text(), re.MULTILINE | re.DOTALL):
        title = match[1] or title
        if match[2] == language:
            found[f"{title} 2" if title in found else title] = match[3]
    return found


SHELL, PYTHON = snippets("sh"), snippets("python")


def write(store: DeltaStore, table: Table, day: date, worst: Mapping[str, int], batch: int) -> None:
    """Let a table hold an hour of a day for each of these airports."""
    at = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
    schema = table.contract.arrow_schema
    known = {"hour_at": at, "hour_on": day}
    rows = [
        {name: known.get(name, 1) for name in schema.names} | {"airport": airport, "worst_delay_minutes": minutes}
        for airport, minutes in worst.items()
    ]
    store.append(table, pa.Table.from_pylist(rows, schema=schema), Txn("test", batch), {})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake: a settled day, a stale one and one that batch has not computed."""
    folder = tmp_path_factory.mktemp("project")
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(folder / ".lakehouse")})
    store = open_store(settings)
    write(store, hours, D1, {"EWR": 5, "JFK": 7}, 0)
    write(store, hours, D2, {"EWR": 40}, 1)
    write(store, hours, D3, {"LGA": 11}, 2)
    record(store, hours, [D1], version=3)
    record(store, hours, [D2], version=1)
    return folder


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("LAKEHOUSE_HOME", str(project / ".lakehouse"))
    monkeypatch.setenv("LAKEHOUSE_PROJECT", str(ROOT))
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-01-04T00:00:00Z")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def test_the_page_has_a_snippet_of_every_way() -> None:
    titles = {
        "DuckDB",
        "deltalake",
        "Polars",
        "pandas",
        "Spark",
        "As of a version",
        "Only settled days",
        "A file for BI tools",
    }

    assert titles <= PYTHON.keys()
    assert set(SHELL) == {"In the terminal", "A file for BI tools"}


@pytest.mark.parametrize("title", SHELL)
def test_each_command_runs(title: str) -> None:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", SHELL[title]], text=True, capture_output=True)

    assert (done.returncode, done.stderr) == (0, "")


def read(title: str) -> dict[str, Any]:
    """The names that a snippet leaves."""
    names: dict[str, Any] = {}
    *body, last = PYTHON[title].rstrip().split("\n")
    # What a notebook shows: the value of the last line, where it is an expression.
    if re.match(r"[a-z_.]+\(|[a-z_.]+, ", last) or last.startswith(("duckdb.", "table.")):
        last = f"shown = {last}"
    exec(compile("\n".join([*body, last]), title, "exec"), names)
    return names


def test_duckdb_has_all_tables_as_views() -> None:
    assert read("DuckDB")["worst"].values.tolist() == [["EWR", 40], ["LGA", 11], ["JFK", 7]]


def test_duckdb_reads_through_arrow() -> None:
    assert read("DuckDB 2")["shown"] == (2,)


def test_deltalake_reads_a_day() -> None:
    names = read("deltalake")

    assert names["rows"]["worst_delay_minutes"].to_pylist() == [40]
    assert names["shown"][0] == 3


def test_polars_reads_a_day() -> None:
    assert read("Polars")["day"]["worst_delay_minutes"].to_list() == [40]


def test_pandas_reads_a_day() -> None:
    assert read("pandas")["frame"][["airport", "worst_delay_minutes"]].values.tolist() == [["EWR", 40]]


def test_an_earlier_version_is_what_the_table_held_then() -> None:
    names = read("As of a version")

    assert sorted(names["before"]["airport"].to_pylist()) == ["EWR", "JFK"]
    assert sorted(names["same"]["airport"].to_list()) == ["EWR", "JFK"]


def test_only_the_days_that_batch_has_computed_are_settled() -> None:
    rows = read("Only settled days")["rows"]

    assert {row[0]: row[-1] for row in rows} == {"EWR": 5, "JFK": 7}


def test_a_file_of_copies_says_what_it_holds() -> None:
    subprocess.run(["bash", "-c", SHELL["A file for BI tools"]], check=True, capture_output=True)

    read("A file for BI tools")


@pytest.mark.spark
def test_spark_reads_a_version() -> None:
    names = read("Spark")

    assert sorted(row["worst_delay_minutes"] for row in names["hours"].collect()) == [5, 7, 11, 40]
    assert names["first"].count() == 0
