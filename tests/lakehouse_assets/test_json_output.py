"""What commands print as JSON follows the schema that `docs/json-output.md` publishes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lake.commands.json_docs import REPORTS, render_page
from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.feeds.weather import weather
from lakehouse_assets.silver.departures import departures
from tests.lakehouse_assets.conftest import Lakehouse
from tests.lakehouse_assets.test_cli_output import three_rejected as three_rejected
from tests.recorded import follow, hold, record

PAGE = Path(__file__).parents[2] / "docs" / "json-output.md"
D1, D2, D3 = (date(2013, 1, day) for day in (1, 2, 3))


def published() -> Mapping[str, Any]:
    """The schemas of the page, by the command under whose title they stand."""
    found = re.findall(r"^## lakehouse (.+?)\n\n```json\n(.+?)\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return {command: json.loads(schema) for command, schema in found}


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return open_store(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)}))


@pytest.fixture
def lake(store: DeltaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days that are missing, stale and late, of an older code, rows in quarantine, and a stream."""
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-01-06T00:00:00Z")
    landed = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)}).landing.folder(weather, D2)
    landed.mkdir(parents=True)
    (landed / "a.csv").write_text("a\n")
    hold(store, weather_files, [D1])
    record(store, weather_files, [D1], code_version="older", inputs={"feed:weather": {"b.csv": [1, 1, "0"]}})
    follow(store, departures)
    (tmp_path / "streams").mkdir()
    said = {"table": "silver.departures", "state": "failed", "last_error": "it broke", "lag_messages": 3}
    (tmp_path / "streams" / "silver.departures.json").write_text(json.dumps(said))


def test_the_page_holds_the_schema_of_every_report() -> None:
    assert PAGE.read_text() == render_page(), "python -m lake.commands.json_docs > docs/json-output.md"
    assert published().keys() == REPORTS.keys()


@pytest.mark.usefixtures("lake", "three_rejected")
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("status --json", ["status"]),
        ("refresh --plan --json", ["refresh", "--plan"]),
        ("refresh --plan --json", ["refresh", "--plan", "silver.weather", "--days", "2013-01-02"]),
        ("quarantine TABLE --json", ["quarantine", "silver.departures", "--limit", "1"]),
        ("describe NAME --json", ["describe", "silver.departures"]),
        ("describe NAME --json", ["describe", "weather"]),
        ("explain TABLE DAY --json", ["explain", "bronze.weather_files", "2013-01-02"]),
        ("explain TABLE DAY --json", ["explain", "silver.departures", "2013-01-01"]),
        ("explain TABLE DAY --json", ["explain", "silver.carriers"]),
        ("doctor --json", ["doctor"]),
        ("sql QUERY --json", ["sql", "select * from lake.ledger"]),
        ("sql QUERY --json", ["sql", "select 1 where false"]),
        ("docs --json", ["docs"]),
    ],
)
def test_what_a_command_prints_follows_its_published_schema(
    lakehouse: Lakehouse, tmp_path: Path, command: str, arguments: list[str]
) -> None:
    done = lakehouse(tmp_path, *arguments, "--json")

    said = json.loads(done.stdout)
    jsonschema.Draft202012Validator(published()[command]).validate(said)
    assert set(said) == set(published()[command]["properties"]), "no field is printed that the schema does not know"


@pytest.mark.usefixtures("lake", "three_rejected")
def test_status_says_for_programs_what_it_says_for_people(lakehouse: Lakehouse, tmp_path: Path) -> None:
    said = json.loads(lakehouse(tmp_path, "status", "--json").stdout)

    tables = {table["table"]: table for table in said["tables"]}
    day = {"first": "2013-01-02", "last": "2013-01-02"}
    assert tables["bronze.weather_files"]["missing"] == [{"reason": "never computed", "days": [day]}]
    assert tables["bronze.weather_files"]["rows"] == 1
    assert [stream["table"] for stream in said["streams"]] == ["silver.departures"]
    assert said["streams"][0]["stalled"] == "failed: it broke"
    assert {"stalled", "due", "late"} <= {problem["kind"] for problem in said["problems"]}
    assert said["is_healthy"] is False
    assert lakehouse(tmp_path, "status", "--fail", "--json").returncode == 1


def test_refresh_prints_one_object_and_its_lines_elsewhere(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "refresh", "--json")

    said = json.loads(done.stdout)
    jsonschema.Draft202012Validator(published()["refresh --json"]).validate(said)
    sinks = said.pop("sinks")
    assert said == {"version": 1, "ended": "done", "tables": [], "problems": [], "notes": []}
    assert {"serving.carrier_days", "serving.hourly_mirror"} <= {sink["sink"] for sink in sinks}
    assert {(sink["status"], sink["rows"], sink["version"]) for sink in sinks} == {("done", 0, None)}
    assert "nothing to do" in done.stderr


# The plan


@pytest.mark.usefixtures("lake")
def test_a_plan_says_what_would_run_and_why_and_runs_nothing(lakehouse: Lakehouse, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    done = lakehouse(tmp_path, "refresh", "--plan")

    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert "run 1: 2013-01-02..2013-01-02, 1 day" in lines
    assert "bronze.weather_files 2013-01-02: missing: never computed" in lines
    assert any(line.startswith("then, once bronze says which of their days are due: silver.weather") for line in lines)
    assert lines[-1] == "next: lakehouse refresh runs this; nothing was run"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_plan_of_a_lake_that_lacks_nothing_says_so(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "refresh", "--plan").stdout == "nothing to do: no day is missing or stale\n"


def test_a_plan_of_days_that_no_calendar_has_ends_with_2(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "refresh", "--plan", "--days", "1999-01-01").returncode == 2
