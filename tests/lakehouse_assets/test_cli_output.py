"""What the commands print of a lake written by hand, and how they end; a JVM only where tables are computed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema
from rich.console import Console

from lake.commands.refreshing import print_result
from lake.declare.days import Days
from lake.orchestration.results import CheckResult, TableResult
from lake.ownership.frontier import Frontier, FrontierTable
from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.write.enforce import QUARANTINE
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.carriers import carriers
from lakehouse_assets.silver.departures import departures
from tests.lakehouse_assets.conftest import Lakehouse
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = pytest.mark.slow

D1, D2 = date(2013, 1, 1), date(2013, 1, 2)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return open_store(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)}))


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# Quarantine


@pytest.fixture
def three_rejected(store: DeltaStore) -> None:
    rows = [
        {"day": D2, "rules": ["carrier:not_null"], "raw": None, "row": '{"flight":"[air]"}'},
        {"day": D1, "rules": ["flight:not_null"], "raw": "second", "row": '{"flight":2}'},
        {"day": D1, "rules": ["carrier:not_null", "flight:not_null"], "raw": "first", "row": '{"flight":1}'},
    ]
    write_deltalake(store.quarantine_path(departures), pa.Table.from_pylist(rows, schema=to_arrow_schema(QUARANTINE)))


@pytest.mark.usefixtures("three_rejected")
def test_quarantine_counts_rows_by_rule_and_shows_each_as_received(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "quarantine", "silver.departures")

    assert done.returncode == 0
    assert lines_of(done.stdout) == [
        "silver.departures: 3 rows in quarantine",
        "rule rows",
        "carrier:not_null 2",
        "flight:not_null 2",
        "2013-01-01 carrier:not_null, flight:not_null",
        "first",
        "2013-01-01 flight:not_null",
        "second",
        "2013-01-02 carrier:not_null",
        '{"flight":"[air]"}',
    ]


@pytest.mark.usefixtures("three_rejected")
def test_quarantine_of_some_days_counts_and_shows_no_others(lakehouse: Lakehouse, tmp_path: Path) -> None:
    one, none = (
        lakehouse(tmp_path, "quarantine", "silver.departures", "--days", days)
        for days in ("2013-01-02", "2013-01-03..2013-01-04")
    )

    assert lines_of(one.stdout) == [
        "silver.departures: 1 row in quarantine for 2013-01-02",
        "rule rows",
        "carrier:not_null 1",
        "2013-01-02 carrier:not_null",
        '{"flight":"[air]"}',
    ]
    assert lines_of(none.stdout) == ["silver.departures: 0 rows in quarantine for 2013-01-03..2013-01-04"]


@pytest.mark.usefixtures("three_rejected")
def test_quarantine_says_how_many_rows_it_does_not_show_and_how_to_see_them(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    some, all_of_them = (
        lines_of(lakehouse(tmp_path, "quarantine", "silver.departures", "--limit", limit).stdout)
        for limit in ("1", "3")
    )

    assert some == [
        "silver.departures: 3 rows in quarantine",
        "rule rows",
        "carrier:not_null 2",
        "flight:not_null 2",
        "2013-01-01 carrier:not_null, flight:not_null",
        "first",
        "... 2 more: --limit 3, or query quarantine.silver_departures",
    ]
    assert all_of_them[-1] == '{"flight":"[air]"}'


def test_a_table_that_never_rejected_a_row_has_an_empty_quarantine(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "quarantine", "departures")

    assert (done.returncode, done.stdout) == (0, "silver.departures: 0 rows in quarantine\n")


# SQL


@pytest.fixture
def two_carriers(store: DeltaStore) -> None:
    rows = [{"carrier": "AA", "name": "American, Inc."}, {"carrier": "9E", "name": "Endeavor [air]"}]
    write_deltalake(store.path(carriers), pa.Table.from_pylist(rows, schema=carriers.contract.arrow_schema))


@pytest.mark.usefixtures("two_carriers")
def test_sql_shows_the_rows_of_a_table_with_their_types(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "sql", "select carrier, name from silver.carriers order by carrier")

    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [row for row in cells if len(row) == 2] == [
        ["carrier", "name"],
        ["varchar", "varchar"],
        ["9E", "Endeavor [air]"],
        ["AA", "American, Inc."],
    ]


@pytest.mark.usefixtures("two_carriers")
def test_sql_gives_the_rows_of_a_table_as_csv(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "sql", "select carrier, name from silver.carriers order by carrier", "--csv")

    assert (done.returncode, done.stdout) == (0, 'carrier,name\n9E,Endeavor [air]\nAA,"American, Inc."\n')


@pytest.mark.usefixtures("three_rejected")
def test_sql_reads_the_quarantine_too(lakehouse: Lakehouse, tmp_path: Path) -> None:
    query = "select day, count(*) as rows from quarantine.silver_departures group by day order by day"

    assert lakehouse(tmp_path, "sql", query, "--csv").stdout == "day,rows\n2013-01-01,2\n2013-01-02,1\n"


@pytest.mark.usefixtures("two_carriers")
@pytest.mark.parametrize(
    ("query", "named"), [("select no_such from silver.carriers", "no_such"), ("selec 1", "syntax error")]
)
def test_sql_that_does_not_fit_the_table_ends_with_2_and_prints_no_row(
    lakehouse: Lakehouse, tmp_path: Path, query: str, named: str
) -> None:
    done = lakehouse(tmp_path, "sql", query, "--csv")

    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
    assert 'next: lakehouse sql "show all tables" lists what can be queried' in done.stderr


# Refresh


def printed(**said: Any) -> list[str]:
    screen = io.StringIO()
    print_result(Console(file=screen, highlight=False, width=140), TableResult("silver.departures", **said))
    return lines_of(screen.getvalue())


def test_a_table_that_was_written_is_one_line_with_its_counts() -> None:
    days = Days.between(D1, D2)

    assert printed(
        days=days, run_id="", rows_in=1_250_020, rows_out=1_234_567, rejected=12_345, duplicates=3_108, seconds=4.25
    ) == ["ok silver.departures 2013-01-01..2013-01-02 1,234,567 rows, 12,345 rejected, 3,108 duplicates 4.2 s"]


def test_duplicates_that_disagree_are_told() -> None:
    (line,) = printed(days=Days.of(D1), run_id="", rows_out=7, duplicates=3, disagreeing=2, seconds=1.0)

    assert line.endswith("7 rows, 0 rejected, 3 duplicates, 2 of them disagree with the row that is kept 1.0 s")


def test_days_that_were_equal_to_what_was_stored_are_told_and_a_table_without_days_is_whole() -> None:
    assert printed(days=Days.of(D1), run_id="", rows_out=7, unchanged_days=1, seconds=1.0) == [
        "ok silver.departures 2013-01-01 7 rows, 0 rejected, 0 duplicates, 1 day unchanged 1.0 s"
    ]
    assert printed(days=None, run_id="", rows_out=7, seconds=1.0) == [
        "ok silver.departures whole 7 rows, 0 rejected, 0 duplicates 1.0 s"
    ]
    assert printed(days=None, run_id="", rows_out=7, unchanged_days=1, seconds=1.0) == [
        "ok silver.departures whole 7 rows, 0 rejected, 0 duplicates, unchanged 1.0 s"
    ]


@pytest.mark.parametrize(("status", "mark"), [("failed", "FAILED"), ("skipped", "skipped")])
def test_a_table_that_was_not_written_says_so_first(status: str, mark: str) -> None:
    assert printed(days=Days.of(D1), run_id="", status=status) == [
        f"{mark} silver.departures 2013-01-01 0 rows, 0 rejected, 0 duplicates 0.0 s"
    ]


def test_only_checks_that_did_not_pass_are_shown_by_their_first_line_and_the_next_step() -> None:
    checks = (
        CheckResult("key_unique", passed=True, severity="ERROR", description="0 keys have more than one row"),
        CheckResult("contract", passed=False, severity="ERROR", description="[two] rows are in quarantine\nby day"),
        CheckResult("row_count", passed=False, severity="ERROR", description="rows are missing\nby day\nnext: do this"),
        CheckResult("fresh", passed=False, severity="WARN", description=""),
    )

    assert printed(days=Days.of(D1), run_id="", rows_out=1, rejected=2, checks=checks) == [
        "ok silver.departures 2013-01-01 1 rows, 2 rejected, 0 duplicates 0.0 s",
        "contract [two] rows are in quarantine",
        "row_count rows are missing",
        "next: do this",
        "fresh",
    ]


@pytest.mark.usefixtures("spark")
@QUIET_DAGSTER
def test_a_refresh_after_which_a_check_finds_an_error_ends_with_1_though_all_was_written(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    landed = tmp_path / "landing" / "departures" / "landed_on=2013-01-01"
    landed.mkdir(parents=True)
    (landed / "messages.jsonl").write_text("no json\nnor this\n")

    done = lakehouse(tmp_path, "refresh", "bronze.departure_events", "--days", "2013-01-01")

    written, broken, *_ = lines_of(done.stdout)
    assert done.returncode == 1, done
    assert written.startswith("REJECTED bronze.departure_events 2013-01-01 0 rows, 2 rejected, 0 duplicates")
    assert broken.split()[0] == "contract"


# Ctrl-C


WAITING = "waiting for pid"
HEARS_CTRL_C = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("lake.commands.cli", run_name="__main__")
"""
"""Runs the command; one that is started by a background job of a shell is else as deaf to Ctrl-C as that is."""


IN_THE_BACKGROUND = HEARS_CTRL_C.replace("signal.default_int_handler", "signal.SIG_IGN")


def interrupted_while_it_waits(
    home: Path, *arguments: str, by: signal.Signals = signal.SIGINT, run: str = HEARS_CTRL_C
) -> tuple[int, str]:
    """Stop the command once it says that it waits for a lock; returns its exit code and what it said then."""
    command = [sys.executable, "-c", run, *arguments]
    env = {**os.environ, "LAKEHOUSE_HOME": str(home), "LAKEHOUSE_SPARK_MASTER": "local[1]"}
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            shown = next((line for line in process.stderr if WAITING in line), "it never waited")
            process.send_signal(by)
            return process.wait(timeout=60), shown + process.stderr.read()
        finally:
            process.kill()


def test_ctrl_c_ends_a_wait_for_the_frontier_with_130(tmp_path: Path, store: DeltaStore) -> None:
    frontier = FrontierTable(store)
    frontier.change(lambda _: Frontier(D1, D2, claimed=frozenset({"silver.departures"})), "test")

    with store.lock(frontier.name):
        ended, said = interrupted_while_it_waits(tmp_path, "follow", "--release")

    assert ended == 130, said
    assert said.splitlines()[-1] == "stopped; nothing half-written was left behind"
    assert "Traceback" not in said
    assert frontier.state() == Frontier(D1, D2, claimed=frozenset({"silver.departures"}))


@pytest.mark.spark
@pytest.mark.parametrize(
    ("by", "run", "code"),
    [
        pytest.param(signal.SIGINT, HEARS_CTRL_C, 130, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, HEARS_CTRL_C, 143, id="SIGTERM", marks=pytest.mark.streams),
        pytest.param(signal.SIGTERM, IN_THE_BACKGROUND, 143, id="SIGTERM in the background", marks=pytest.mark.streams),
    ],
)
def test_a_signal_ends_a_refresh_that_waits_for_its_table(
    tmp_path: Path, store: DeltaStore, by: signal.Signals, run: str, code: int
) -> None:
    arguments = ("refresh", "bronze.departure_events", "--days", "2013-01-01")
    with store.lock(departure_events.full_name):
        ended, said = interrupted_while_it_waits(tmp_path, *arguments, by=by, run=run)

    assert ended == code, said
    assert "stopped; nothing half-written was left behind" in said
    assert "Traceback" not in said
    assert store.version(departure_events) is None


def test_a_signal_that_dagster_handles_is_told_apart_too() -> None:
    """In a run, both signals have a handler of Dagster's, and after it the one that SIGINT had."""
    code = (
        "import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from lake.commands.stopping import hear_signals; code = hear_signals()\n"
        "from dagster._utils.interrupts import capture_interrupts, pop_captured_interrupt\n"
        "with capture_interrupts(): os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1); pop_captured_interrupt()\n"
        "first = code(); os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1)\n"
        "try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)\n"
        "except KeyboardInterrupt: print(first, code())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "143 143\n", done.stderr


def test_a_query_that_takes_for_ever_is_stopped_with_one_line(tmp_path: Path) -> None:
    for_ever = "select count(*) from range(1000000000000) a, range(1000) b where a.range % 7 = b.range"
    command = [sys.executable, "-c", HEARS_CTRL_C, "sql", "-f", str(tmp_path / "query.sql")]
    os.mkfifo(tmp_path / "query.sql")  # who writes into it waits until it is read
    env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            (tmp_path / "query.sql").write_text(for_ever)
            while psutil.Process(process.pid).cpu_times().user < 3:  # it has begun to count
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
            process.send_signal(signal.SIGTERM)
            shown, said = process.communicate(timeout=60)
        finally:
            process.kill()

    assert (process.returncode, shown, said) == (143, "", "stopped; nothing half-written was left behind\n")


def test_a_reader_that_has_seen_enough_is_no_error_to_tell(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEARS_CTRL_C, "sql", "--csv", "from range(1000000)"]
    env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert (first, said) == ("range\n", "")


# A damaged log


@pytest.mark.usefixtures("two_carriers")
@pytest.mark.parametrize("left", [0, 60])
def test_a_damaged_log_is_named_and_the_other_tables_are_shown(
    lakehouse: Lakehouse, store: DeltaStore, tmp_path: Path, left: int
) -> None:
    store.create(departures)
    commit = Path(store.path(departures), "_delta_log", f"{0:020d}.json")
    commit.write_bytes(commit.read_bytes()[:left])

    status, doctor, refresh = (lakehouse(tmp_path, command) for command in ("status", "doctor", "refresh"))
    sql = lakehouse(tmp_path, "sql", "--csv", "select carrier from silver.carriers order by carrier")

    said = f"table silver.departures, file {commit}: it "
    assert (status.returncode, said in status.stdout) == (1, True)
    assert any(line.startswith("silver.carriers - whole 0 0 0 0") for line in lines_of(status.stdout))
    assert any(line.startswith("silver.departures - 0 0 0 ? ?") for line in lines_of(status.stdout))
    assert (doctor.returncode, "silver.departures" in doctor.stdout) == (3, True)
    assert (refresh.returncode, said in refresh.stderr, "nothing to do" in refresh.stdout) == (1, True, False)
    assert (sql.returncode, sql.stdout, said in sql.stderr) == (1, "carrier\n9E\nAA\n", True)
    for done in (status, doctor, refresh, sql):
        assert "Traceback" not in done.stderr


def test_a_command_ends_though_a_library_has_left_a_pool_of_threads() -> None:
    code = (
        "import sys\nfrom concurrent.futures import ThreadPoolExecutor\nfrom lake.commands.cli import main\n"
        "pool = ThreadPoolExecutor(1)\npool.submit(int).result()\nsys.argv = ['lakehouse', '--version']\nmain()\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stdout[:10]) == (0, "lakehouse ")
