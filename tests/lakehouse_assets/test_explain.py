"""`lakehouse explain TABLE DAY` tells what the log, the ledger and the landing folder say of a day; no JVM."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lake.commands.explaining import Explanation, explain_day
from lake.commands.look import Look
from lake.ownership.frontier import Frontier, FrontierTable
from lake.project.environment import Environment, open_environment
from lake.project.settings import Settings
from lake.write.enforce import NOTHING_DROPPED
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.feeds.weather import weather
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.silver.departures import departures
from tests.lakehouse_assets.conftest import Lakehouse
from tests.recorded import COMMITTED_AT, commit, hold, record

D1, D2, D3 = (date(2013, 1, day) for day in (1, 2, 3))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_NOW": "2013-01-06T00:00:00Z"}
    return open_environment(Settings.from_env(env))


def explained(environment: Environment, table: Any = departures, day: date | None = D1) -> Explanation:
    return explain_day(Look(environment), table, day)


def lines(lakehouse: Lakehouse, home: Path, *arguments: str) -> list[str]:
    done = lakehouse(home, "explain", *arguments)
    assert done.returncode == 0, done.stderr
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_a_settled_day_names_its_run_code_counts_and_versions(environment: Environment) -> None:
    hold(environment.store, departure_events, [D1])
    hold(environment.store, departures, [D1], rows=3)
    code = departures.code_version
    record(environment.store, departures, [D1], 2, inputs={"bronze.departure_events": 1}, version=1, code_version="old")
    facts = {"inputs": {"bronze.departure_events": 1}, "version": 1, "run_id": "the-run", "seconds": 2.5}
    record(environment.store, departures, [D1], 3, code_version=code, **facts)

    said = explained(environment)

    assert (said.state, said.rows, said.times_computed, said.notes) == ("settled", 3, 2, [])
    assert said.computed is not None
    assert (said.computed.run_id, said.computed.code_version, said.computed.version) == ("the-run", code, 1)
    assert (said.computed.rows_in, said.computed.rows_out, said.computed.is_current_code) == (3, 3, True)
    assert said.changed is not None
    assert (said.changed.version, said.changed.by) == (1, "its stream, generation 1, micro-batch 1")
    assert said.changed.at.startswith("2013-01-01T00:05:00"), COMMITTED_AT
    (read,) = said.inputs
    assert (read.name, read.version_read, read.version_now, read.lacks) == ("bronze.departure_events", 1, 1, [])
    assert said.next == "nothing is to be done; lakehouse refresh silver.departures --days 2013-01-01 computes it again"


def test_a_stale_day_says_which_input_changed_since_and_what_to_run(environment: Environment) -> None:
    hold(environment.store, departure_events, [D1])
    hold(environment.store, departures, [D1])
    record(environment.store, departures, [D1], inputs={"bronze.departure_events": 1}, version=1)
    commit(environment.store, departure_events, {D1: 1}, streamed=False, metadata={"run_id": "r2"})

    said = explained(environment)

    assert (said.state, said.why) == ("stale", "bronze.departure_events changed in version 2")
    assert (said.inputs[0].version_read, said.inputs[0].version_now) == (1, 2)
    assert said.next == "lakehouse refresh silver.departures"
    changed = explained(environment, departure_events).changed
    assert changed is not None
    assert changed.by == "refresh, run r2"


def test_a_day_that_was_never_computed_waits_for_what_its_inputs_lack(environment: Environment) -> None:
    landed = environment.settings.landing.folder(weather, D1)
    landed.mkdir(parents=True)
    for name in ("b.csv", "a.csv"):
        (landed / name).write_text("a\n")

    bronze, silver = explained(environment, weather_files), explained(environment, environment.table("silver.weather"))

    assert (bronze.state, bronze.why, bronze.computed, bronze.next) == (
        "missing", "never computed", None, "lakehouse refresh bronze.weather_files",
    )  # fmt: skip
    assert (bronze.inputs[0].name, bronze.inputs[0].files) == ("weather", ["a.csv", "b.csv"])
    assert bronze.late == "what weather delivered on 2013-01-01 is not in bronze"
    assert silver.inputs[0].lacks == ["2013-01-01 is missing: never computed"]


def test_files_that_are_gone_or_others_than_the_day_was_computed_from_are_named(environment: Environment) -> None:
    landed = environment.settings.landing.folder(weather, D1)
    landed.mkdir(parents=True)
    (landed / "new.csv").write_text("a\n")
    hold(environment.store, weather_files, [D1])
    record(environment.store, weather_files, [D1], version=1, inputs={"feed:weather": {"old.csv": [1, 1, "0"]}})

    (said,) = explained(environment, weather_files).inputs

    assert said.files == ["old.csv"]
    assert said.lacks == ["old.csv is gone", "new.csv is new, or another than it was"]


def test_an_open_day_belongs_to_streams(environment: Environment) -> None:
    state = Frontier(D1, D2, claimed=frozenset({departures.full_name}), generations={departures.full_name: 1})
    FrontierTable(environment.store).change(lambda _: state, "test")
    hold(environment.store, departures, [D3], rows=4)

    said = explained(environment, day=D3)

    assert (said.state, said.rows, said.computed) == ("open", 4, None)
    assert "from 2013-01-02 on" in said.why


def test_rejected_rows_are_counted_by_rule_with_the_command_that_shows_them(environment: Environment) -> None:
    hold(environment.store, departures, [D1])
    record(environment.store, departures, [D1], version=1, code_version=departures.code_version)
    schema = NOTHING_DROPPED.rejected.schema
    rejected = [
        {name: {"day": day, "rules": rules, "row": "{}"}.get(name) for name in schema.names}
        for day, rules in ((D1, ["carrier:not_null"]), (D1, ["carrier:not_null", "flight:ge"]), (D2, ["flight:ge"]))
    ]
    environment.store.store_quarantine(departures, pa.Table.from_pylist(rejected, schema=schema), None)

    said = explained(environment)

    assert {one.rule: one.rows for one in said.rejected} == {"carrier:not_null": 2, "flight:ge": 1}
    assert said.next == "lakehouse quarantine silver.departures --days 2013-01-01"


def test_an_older_code_and_rows_of_another_program_are_noted(environment: Environment) -> None:
    hold(environment.store, departures, [D1])
    record(environment.store, departures, [D1], version=1, code_version="older")

    said = explained(environment)

    assert said.computed is not None
    assert not said.computed.is_current_code
    assert said.notes == [
        "an older code computed it: lakehouse refresh silver.departures --changed-code computes it again"
    ]


def test_it_says_what_would_change_the_day_and_what_the_day_would_change(environment: Environment) -> None:
    said = explained(environment)

    assert said.state == "empty"
    assert said.changed_by[0] == "a commit to bronze.departure_events that changes rows with event_date in 2013-01-01"
    assert "silver.flights 2012-12-31..2013-01-01" in said.makes_stale
    bronze = explained(environment, departure_events)
    assert "silver.departures of the days that its rows claim, event_date" in bronze.makes_stale
    assert explained(environment, daily_carrier_performance).makes_stale == []


def test_people_are_told_the_same_and_a_wrong_day_ends_with_2(
    environment: Environment, lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-01-06T00:00:00Z")
    hold(environment.store, departures, [D1], rows=3)
    record(environment.store, departures, [D1], 3, version=1, run_id="[the run]", code_version="older")

    shown = lines(lakehouse, tmp_path, "silver.departures", "2013-01-01")

    assert shown[0].startswith("silver.departures 2013-01-01: ")
    assert "holds 3 rows" in shown
    assert any(re.fullmatch(r"computed \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, written, .*", line) for line in shown)
    assert any("run [the run], code older, which is an older one; 1 time in all" in line for line in shown)
    assert shown[-1].startswith("next: ")
    for arguments in (["silver.departures"], ["silver.departures", "1999-01-01"], ["silver.departures", "soon"]):
        done = lakehouse(tmp_path, "explain", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "2013-01-01" in lakehouse(tmp_path, "explain", "silver.departures").stderr
