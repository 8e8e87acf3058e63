"""The command line: arguments, exit codes and messages, without a JVM."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from lake.commands.refreshing import Ended, _ended
from lake.declare.days import Days
from lake.orchestration import dagster_home
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.red_checks import RedChecks
from lake.orchestration.results import CheckResult, TableResult
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.project.environment import open_environment
from lake.project.settings import Settings
from tests.lakehouse_assets.conftest import Lakehouse
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = pytest.mark.slow

D2 = date(2013, 1, 2)
CATALOG = Path(__file__).parents[2] / "docs" / "tables.md"


def test_help_names_every_command(lakehouse: Lakehouse, tmp_path: Path) -> None:
    shown = lakehouse(tmp_path, "--help")
    assert shown.returncode == 0
    for command in ("demo", "doctor", "replay", "refresh", "status", "quarantine", "sql", "docs", "up"):
        assert command in shown.stdout


@pytest.mark.parametrize(
    "days", ["2013-13-01", "2013-01-05..2013-01-01", "2013-01-01' OR 1=1", "../../etc", "２０１３-01-01"]
)
def test_a_wrong_day_ends_with_2_and_says_how_to_write_one(lakehouse: Lakehouse, tmp_path: Path, days: str) -> None:
    done = lakehouse(tmp_path, "refresh", "gold", "--days", days)
    assert done.returncode == 2
    assert "2024-01-31" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "refresh --days",
        "replay --days",
        "quarantine departures --days",
        "follow --since",
        "follow --reopen",
        "up --since",
    ],
)
def test_a_day_that_is_empty_is_refused_by_the_name_of_its_option(
    lakehouse: Lakehouse, tmp_path: Path, command: str
) -> None:
    done = lakehouse(tmp_path, *command.split(), "")
    assert done.returncode == 2
    assert command.split()[-1] in done.stderr


def test_days_together_with_whatever_an_older_code_computed_are_refused(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "refresh", "--changed-code", "--days", "2013-01-01")

    assert done.returncode == 2
    assert "--days computes these days anyway" in done.stderr


def test_the_quarantine_of_a_layer_is_refused_with_its_tables(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "quarantine", "gold")
    assert done.returncode == 2
    assert "a layer" in done.stderr
    assert "gold.daily_carrier_performance" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"), [("LAKEHOUSE_LAST_DAY", "2013-01-01"), ("LAKEHOUSE_FIRST_DAY", "2013-01-03")]
)
def test_a_calendar_shorter_than_the_lake_is_refused_at_once(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    store = open_environment(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})).store
    said = Entry("silver.departures", D2, "written", 1, 1, 0, 0, {}, 0, "", 0.0)
    Ledger(store).record([said])
    monkeypatch.setenv(variable, value)

    refused, shown = lakehouse(tmp_path, "refresh"), lakehouse(tmp_path, "status")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"setting {variable}='{value}'" in refused.stderr
    assert "2013-01-02" in refused.stderr
    assert (shown.returncode, f"setting {variable}='{value}'" in shown.stdout) == (0, True)


def test_what_landed_and_no_table_reads_is_named(lakehouse: Lakehouse, tmp_path: Path) -> None:
    for name in (
        "landed_on=2013-1-2/a",
        "landed_on=2013-1-2/b",
        "20130103/a",
        "landed_on=2015-01-01/a",
        "loose\x1b[2J",
    ):
        file = tmp_path / "landing" / "weather" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    said = (
        "5 files have landed that no table reads: weather/20130103 (is no landing day (landed_on=YYYY-MM-DD)), "
        "weather/landed_on=2013-1-2 (is no landing day (landed_on=YYYY-MM-DD)), "
        "weather/landed_on=2015-01-01 (outside the calendar 2012-12-31..2014-01-31) and 1 more"
    )

    status, doctor, refresh = (lakehouse(tmp_path, command) for command in ("status", "doctor", "refresh"))

    assert said in status.stdout
    assert said in " ".join(doctor.stdout.split())
    assert doctor.returncode == 3
    assert said in refresh.stderr
    assert (refresh.returncode, refresh.stdout) == (0, "no day is missing or stale\n")


@pytest.mark.parametrize("name", ["gold.no_such_table", "silver.departure", "../departures", "x'; drop table y"])
def test_an_unknown_table_ends_with_2_and_names_what_exists(lakehouse: Lakehouse, tmp_path: Path, name: str) -> None:
    done = lakehouse(tmp_path, "quarantine", name)
    assert done.returncode == 2
    assert "no such table" in done.stderr
    assert "next:" in done.stderr


def test_an_empty_lake_has_nothing_missing(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "status")
    assert done.returncode == 0
    assert "gold.daily_carrier_performance" in done.stdout
    assert "lakehouse refresh" not in done.stdout
    assert "nothing has landed yet; next: lakehouse land FEED FILE" in done.stdout


def test_a_source_that_is_no_folder_ends_with_2(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "replay", "--days", "2013-01-01", "--source", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "'--source'" in done.stderr


@pytest.mark.parametrize(
    "command", [("kafka", "up"), ("follow", "--feed", "kafka"), ("replay", "--to-kafka", "127.0.0.1:9092")]
)
def test_without_the_client_of_kafka_it_says_what_to_install(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    done = lakehouse(tmp_path, *command)
    assert done.returncode == 3
    assert "pip install 'lakehouse[kafka]'" in done.stderr


def test_status_can_fail_for_a_scheduler(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "status", "--fail").returncode == 1, "nothing is there, so every table is late"


def test_landed_days_are_shown_as_missing_with_the_reason(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "replay", "--days", "2013-01-01").returncode == 0
    done = lakehouse(tmp_path, "status", "bronze.departure_events", "--verbose")
    assert "bronze.departure_events: missing 2013-01-01: never computed" in done.stdout
    assert "lakehouse refresh" in done.stdout
    assert "nothing has landed yet" not in lakehouse(tmp_path, "status", "gold").stdout


def test_days_that_the_calendar_does_not_have_end_with_2(lakehouse: Lakehouse, tmp_path: Path) -> None:
    for days in ("2015-01-01", "2014-01-10..2014-02-01"):
        done = lakehouse(tmp_path, "refresh", "gold", "--days", days)
        assert done.returncode == 2
        assert "the calendar of the tables is" in done.stderr


@pytest.mark.usefixtures("spark")
@QUIET_DAGSTER
def test_refresh_tells_a_scheduler_to_try_again_or_that_it_is_done(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lakehouse(tmp_path, "replay", "--days", "2013-01-01").returncode == 0
    command = ("refresh", "bronze.departure_events", "--days", "2013-01-01")
    monkeypatch.setenv("LAKEHOUSE_LOCK_TIMEOUT", "0.2")
    with open_environment().store.lock("bronze.departure_events"):
        held = lakehouse(tmp_path, *command)
    done = lakehouse(tmp_path, *command)
    again = lakehouse(tmp_path, "refresh", "bronze.departure_events")

    assert held.returncode == 75, held
    assert "FAILED" in held.stdout
    assert "another process" in held.stderr
    assert done.returncode == 0, done
    assert "bronze.departure_events" in done.stdout
    assert (again.returncode, again.stdout) == (0, "nothing to do: no day is missing or stale\n")


def test_a_refresh_that_failed_for_more_than_a_lock_is_not_to_be_tried_again() -> None:
    done, locked, skipped = (
        TableResult("silver.a", None, "", status, retryable=status == "failed")
        for status in ("done", "failed", "skipped")
    )
    broken = replace(locked, retryable=False)
    alarming = replace(done, checks=(CheckResult("key_unique", passed=False, severity="ERROR", description=""),))

    cases = ([done], [done, locked, skipped], [locked, broken], [skipped], [alarming])
    ends = [_ended(results, days_named=named) for named in (True, False) for results in cases]

    assert ends == 2 * [Ended.DONE, Ended.TRY_AGAIN, Ended.FAILED, Ended.FAILED, Ended.FAILED]


def test_a_verdict_that_a_later_step_of_the_call_made_good_is_taken_back() -> None:
    def step(*, passed: bool) -> TableResult:
        check = CheckResult("fresh", passed=passed, severity="ERROR", description="")
        return TableResult("silver.a", None, "", checks=(check,))

    good, bad = step(passed=True), step(passed=False)

    assert _ended([bad, good], days_named=False) == Ended.DONE
    assert _ended([good, bad], days_named=False) == Ended.FAILED
    assert _ended([bad, replace(good, table="silver.b")], days_named=False) == Ended.FAILED


def test_a_check_that_an_earlier_run_left_red_fails_a_refresh_that_has_nothing_to_do(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    said = "3 of 4 rows rejected\n2013-01-01: 3 of 4 rows\nnext: lakehouse quarantine silver.weather"
    checks = RedChecks(tmp_path)
    ends = []
    for found in (said, ""):
        checks.note({"silver.weather contract": found})
        ends += [lakehouse(tmp_path, "refresh", *names) for names in ((), ("gold.flight_delay_features",))]
    red, reader, green, green_reader = ends

    for end in (red, reader):
        assert (end.returncode, "nothing to do" in end.stdout) == (1, False)
        assert "still red silver.weather contract: 3 of 4 rows rejected" in end.stderr
        assert "next: lakehouse quarantine silver.weather" in end.stderr
    for end in (green, green_reader):
        assert (end.returncode, end.stdout) == (0, "nothing to do: no day is missing or stale\n")


def test_the_log_of_dagster_is_asked_once_for_checks_of_which_nobody_noted_the_verdict(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older release noted none."""
    error = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["silver", "weather"]), check_name="contract", passed=False,
        description="3 of 4 rows rejected", severity=dg.AssetCheckSeverity.ERROR,
    )  # fmt: skip
    with open_instance(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})) as instance:
        instance.report_runless_asset_event(error)

    first = lakehouse(tmp_path, "refresh")
    monkeypatch.setattr(dagster_home, "open_instance", None)  # from here on it cannot be asked
    again = lakehouse(tmp_path, "refresh")

    assert [first.returncode, again.returncode] == [1, 1]
    assert first.stderr == again.stderr
    assert "still red silver.weather contract: 3 of 4 rows rejected" in again.stderr


@pytest.mark.parametrize("check", ["fresh", "streaming"])
def test_who_asks_for_days_is_not_told_of_a_failure_because_the_table_is_late(check: str) -> None:
    late = CheckResult(check, passed=False, severity="ERROR", description="")
    results = [TableResult("silver.a", Days.of(date(2013, 1, 1)), "", checks=(late,))]

    assert _ended(results, days_named=True) == Ended.DONE
    assert _ended(results, days_named=False) == Ended.FAILED


def test_a_demo_does_not_start_over_in_a_lake_that_no_demo_made(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "replay", "--days", "2013-01-01").returncode == 0
    landed = sorted((tmp_path / "landing").rglob("*.jsonl"))

    done = lakehouse(tmp_path, "demo")

    assert done.returncode == 1
    assert "no demo made" in done.stderr
    assert "--keep" in done.stderr
    assert sorted((tmp_path / "landing").rglob("*.jsonl")) == landed != []


def test_a_table_for_batch_only_is_refused_to_streams_with_all_that_can_be_followed(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    done = lakehouse(tmp_path, "follow", "silver.schedules")

    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "next: lakehouse refresh silver.schedules; these can be followed:" in said
    followable = {"bronze.arrival_events", "bronze.departure_events", "silver.arrivals", "silver.departures"}
    followable |= {"silver.flights", "gold.delay_alerts", "gold.hourly_airport_performance", "gold.aircraft_last_seen"}
    followable |= {"gold.daily_carrier_performance", "gold.flight_delay_features", "gold.flight_delay_scores"}
    listed = said.partition("these can be followed: ")[2].partition(" runbook: ")[0]
    assert set(listed.split(", ")) == followable


def test_days_that_were_sealed_too_far_are_opened_again_by_a_command(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-01-07T12:00:00Z")
    environment = open_environment(Settings.from_env({**os.environ, "LAKEHOUSE_HOME": str(tmp_path)}))
    frontier, claimed = FrontierTable(environment.store), frozenset({"bronze.departure_events", "silver.departures"})
    unstarted = lakehouse(tmp_path, "follow", "--reopen", "2013-01-02")
    sealed = Frontier(D2, date(2023, 1, 7), claimed=claimed, generations=dict.fromkeys(claimed, 1))
    frontier.change(lambda _: sealed, "test")

    wrong = [lakehouse(tmp_path, "follow", "--reopen", day) for day in ("2013-13-01", "2015-01-01", "2013-01-08")]
    assert frontier.state() == sealed
    done = lakehouse(tmp_path, "follow", "--reopen", "2013-01-03")

    assert (unstarted.returncode, unstarted.stdout) == (0, "no stream was ever started: batch owns every day\n")
    assert [one.returncode for one in wrong] == [2, 2, 1]
    assert "(--reopen)" in wrong[0].stderr
    said = "open from 2013-01-03 on; earlier days are sealed: lakehouse refresh settles them\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert frontier.state() == replace(
        sealed, first_open=date(2013, 1, 3), generations={"bronze.departure_events": 1, "silver.departures": 2}
    )


def test_maintain_prints_what_it_did_and_nothing_where_there_is_nothing_to_do(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    ledger = Ledger(open_environment(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})).store)
    for day in (1, 2, 3, 4, 5, 6):
        ledger.record([Entry("silver.departures", date(2013, 1, day), "written", 1, 1, 0, 0, {}, 0, "", 0.0)])

    first, second = lakehouse(tmp_path, "maintain"), lakehouse(tmp_path, "maintain")

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        "lake.ledger: small files of 1 day joined",
        "1 table, 1 day with joined files, 0 files removed, 0 commits removed",
    ]
    assert (second.returncode, second.stdout, second.stderr) == (
        0, "1 table, 0 days with joined files, 0 files removed, 0 commits removed\n", ""
    )  # fmt: skip


def test_wrong_sql_ends_with_2_and_explains(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "sql", "select * from gold.nothing")
    assert done.returncode == 2
    assert "show all tables" in done.stderr
    assert "Traceback" not in done.stderr


def test_sql_gives_csv_for_other_programs(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "sql", "select 1 as one, 'x' as two", "--csv").stdout == "one,two\n1,x\n"


def test_docs_describe_every_table(lakehouse: Lakehouse, tmp_path: Path) -> None:
    page = tmp_path / "tables.md"
    assert lakehouse(tmp_path, "docs", "--to", str(page)).returncode == 0
    text = page.read_text()
    assert "## gold.daily_carrier_performance" in text
    assert "silver_flights --> gold_daily_carrier_performance" in text
    assert text == CATALOG.read_text(), "run: lakehouse docs"


def test_a_setting_that_cannot_be_used_is_named(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path / "a[b]", "status")
    assert done.returncode == 2
    assert "LAKEHOUSE_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refresh_beside_a_lost_day_names_it_and_ends_with_1_until_somebody_accepts_the_loss(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    """The ledger says three rows, and neither the table nor its files are there."""
    inputs = {"feed:weather": {"a.csv": [1, 1, "0"]}}
    entry = Entry("bronze.weather_files", D2, "written", 3, 3, 0, 0, inputs, version=0, code_version="x", seconds=1)
    Ledger(open_environment(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})).store).record([entry])
    accept = ("refresh", "bronze.weather_files", "--days", "2013-01-02", "--accept-loss")

    before = lakehouse(tmp_path, "refresh")
    assert before.returncode == 1
    assert "nothing to do" not in before.stdout
    said = "bronze.weather_files: lost: it holds 0 of 3 rows, and their files are gone: 2013-01-02"
    assert said in before.stderr
    assert "lakehouse refresh bronze.weather_files --days 2013-01-02 --accept-loss" in before.stderr

    assert lakehouse(tmp_path, *accept, "").returncode == 1
    for _ in range(2):
        done = lakehouse(tmp_path, *accept, "deleted for privacy")
        assert (done.returncode, done.stderr) == (0, "")
        assert "2013-01-02: accepted as lost: 3 of 3 rows" in done.stdout

    after = lakehouse(tmp_path, "refresh")
    assert (after.returncode, after.stdout) == (0, "nothing to do: no day is missing or stale\n")
    status = lakehouse(tmp_path, "status").stdout
    assert "bronze.weather_files: lost: accepted: 2013-01-02: 3 of 3 rows" in status
    assert "deleted for privacy" in status


def test_it_says_its_version(lakehouse: Lakehouse, tmp_path: Path) -> None:
    (version,) = re.findall(r'^version = "(.+)"$', Path("pyproject.toml").read_text(), re.MULTILINE)

    assert lakehouse(tmp_path, "--version").stdout == f"lakehouse {version}\n"


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def completed(words: str) -> list[str]:
        env = {"_LAKEHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        command = [str(Path(sys.executable).with_name("lakehouse"))]
        done = subprocess.run(command, env={**os.environ, **env}, text=True, capture_output=True, check=True)
        return done.stdout.split()

    assert completed("lakehouse sta") == ["status"]
    assert "--parquet" in completed("lakehouse sql --")


def test_a_watched_status_is_shown_again_until_ctrl_c(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("lake.commands.status.sleep", pause)

    done = lakehouse(tmp_path, "status", "--watch", "5")

    assert (done.returncode, pauses) == (130, [5.0, 5.0])
    assert done.stdout.count(", as of ") == 2
    assert done.stderr == "stopped; nothing half-written was left behind\n"


def test_a_watched_status_is_for_people(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "status", "--watch", "5", "--json").returncode == 2
