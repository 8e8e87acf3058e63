"""Things that go wrong, done for real: processes killed, disks full, files cut off, writers at once, hostile input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from airline.replay import replay
from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.commands.cli import add_extras, commands
from lake.declare.days import Days
from lake.engine.failpoints import VARIABLE
from lake.errors import BadDay, LakeError, TableLocked, UnknownTable
from lake.orchestration.partitions import days_of_run
from lake.ownership.ledger import Ledger
from lake.project.settings import Settings
from lake.storage.holder import read_holder
from lake.testing.lakes import open_lake, quarantined, stored_rows
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.airline_lakes import TABLES, cut_source, duckdb_over
from tests.end_to_end.oracle import ORACLE_TABLES, build_oracle
from tests.hostile import HOSTILE_DAYS, HOSTILE_NAMES
from tests.tiny import day_of, land, mark_files, marks

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
D1, D2, D3 = (day_of(number) for number in (1, 2, 3))
BOTH = Days.between(D1, D2)
CALENDAR = Days.between(D1, day_of(9))
PYTHON = [sys.executable, "-m"]


def started(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = ROOT, *, code: str = ""
) -> subprocess.Popen[str]:
    """A Python process of the project: a module, or some code."""
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    command = [sys.executable, "-c", code, *arguments] if code else [*PYTHON, *arguments]
    return subprocess.Popen(command, env=environment, cwd=cwd, stdout=pipe, stderr=pipe, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and output of a process; it is killed if it takes minutes."""
    try:
        out, err = process.communicate(timeout=400)
    finally:
        process.kill()
    return process.returncode, out, err


def worker(home: Path, tables: Sequence[str], ranges: Sequence[Days], times: int = 1) -> list[str]:
    """Arguments of a process that refreshes tables."""
    task = {"tables": list(tables), "ranges": list(map(str, ranges)), "times": times}
    return ["tests.end_to_end.worker", str(home), json.dumps(task)]


def points(store: DeltaStore) -> list[tuple[str, date, int]]:
    return [(row["name"], row["day"], row["points"]) for row in stored_rows(store, marks)]


def due(store: DeltaStore) -> dict[str, Mapping[Any, str]]:
    states = Survey([mark_files, marks], store, CALENDAR).states
    return {name: {**state.missing, **state.stale} for name, state in states.items() if state.missing or state.stale}


# Killed


@pytest.fixture
def twice_landed(store: DeltaStore) -> DeltaStore:
    """Marks that were computed once, and then landed anew with other points; bronze knows, silver does not yet."""
    for factor in (1, 10):
        land(store, D1, "a", [("a", D1, factor), ("b", D1, factor)])
        land(store, D2, "a", [("a", D2, 2 * factor), ("b", D2, -1)])
        refresh(mark_files, store, BOTH)
        if factor == 1:
            refresh(marks, store, BOTH)
    return store


OLD = [("a", D1, 1), ("a", D2, 2), ("b", D1, 1)]
NEW = [("a", D1, 10), ("a", D2, 20), ("b", D1, 10)]


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize(
    ("failpoint", "left", "reason"),
    [
        pytest.param("after_files", OLD, "bronze.mark_files changed in version 2", marks=pytest.mark.streams),
        ("after_commit", NEW, "version 2 was written without a receipt"),
    ],
)
def test_killed_between_files_and_commit_or_commit_and_ledger_the_same_run_again_mends_it(
    twice_landed: DeltaStore, tmp_path: Path, failpoint: str, left: object, reason: str
) -> None:
    store = twice_landed

    code, _, err = finished(
        started(worker(tmp_path, ["silver.marks"], [BOTH]), {VARIABLE: f"{failpoint}@silver.marks"})
    )

    assert code == -signal.SIGKILL, err
    assert points(store) == left  # all of it or nothing
    assert Ledger(store).latest("silver.marks")[D1].version == 1
    assert due(store) == {"silver.marks": dict.fromkeys(BOTH, reason)}

    receipt = refresh(marks, store, BOTH)  # a killed holder leaves the table unlocked

    assert points(store) == NEW
    assert Ledger(store).latest("silver.marks")[D1].version == receipt.version == store.version(marks)
    assert [row["row"]["name"] for row in quarantined(store, marks)] == ["b"]
    assert due(store) == {}


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.streams
def test_killed_between_commit_and_dagster_event_the_same_command_again_mends_it(tmp_path: Path) -> None:
    """The command line itself, killed twice: both runs are closed as failed, the days computed again and recorded."""
    source = cut_source(tmp_path / "source", Days.parse("2013-01-01"), one_of=40)
    home = tmp_path / "home"
    replay(home / "landing", Days.parse("2012-12-31..2013-01-02"), source)
    env = {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_SPARK_MASTER": "local[2]"}
    command = ["lake.commands.cli", "refresh", "silver.departures", "--days", "2013-01-01"]
    store = open_lake(home, None)  # type: ignore[arg-type]  # only logs are read
    computed = []

    for point in ("after_commit", "after_receipt"):
        code, _, err = finished(started(command, {**env, VARIABLE: f"{point}@silver.departures"}))
        assert code == -signal.SIGKILL, err
        computed.append((store.version(departures) or 0, set(Ledger(store).latest("silver.departures"))))
    assert [days for _, days in computed] == [set(), {D1}]
    assert computed[0][0] == 1

    code, out, err = finished(started(command, env))
    assert code == 0, out + err
    assert "silver.departures" in out

    assert set(Ledger(store).latest("silver.departures")) == {D1}
    assert recorded(home) == {"runs": {"FAILURE": 2, "SUCCESS": 2}, "days": {"2013-01-01"}}


def recorded(home: Path) -> dict[str, object]:
    """What Dagster knows: runs by status (bronze needs a day more, so it has a run of its own), days of departures."""
    import dagster as dg

    from lake.orchestration.dagster_home import open_instance

    with open_instance(Settings.from_env({"LAKEHOUSE_HOME": str(home)})) as instance:
        statuses = Counter(run.status.value for run in instance.get_runs())
        days = instance.get_materialized_partitions(dg.AssetKey(["silver", "departures"]))
    kept = {"FAILURE": statuses.pop("FAILURE", 0), "SUCCESS": min(statuses.pop("SUCCESS", 0), 2)}
    assert not statuses, statuses
    return {"runs": kept, "days": set(days)}


# Two writers at once


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.streams
def test_two_processes_that_write_one_table_lose_no_commit(store: DeltaStore, tmp_path: Path) -> None:
    """Without the lock about one in a thousand such meetings loses a commit; so the log itself must show the order."""
    for day in (D1, D2):
        land(store, day, "a", [("a", day, day.day)])
    refresh(mark_files, store, BOTH)
    told: list[str] = []
    store.on_wait = told.append
    other = started(worker(tmp_path, ["silver.marks"], [Days.of(D2)], times=4))
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"

    mine = [refresh(marks, store, Days.of(D1)).version for _ in range(4)]
    code, out, err = finished(other)

    assert code == 0, err
    theirs = [json.loads(line)[2] for line in out.splitlines()]
    assert len(theirs) == 4
    assert sorted([*mine, *theirs]) == list(range(1, 9))  # each version was written by exactly one of them
    commits = {version: store.table_log(marks).commit(version) for version in range(1, 9)}
    assert {v: commit.days("day") for v, commit in commits.items() if commit} == {
        **{v: {D1} for v in mine if v is not None},
        **{v: {D2} for v in theirs},
    }
    assert points(store) == [("a", D1, 1), ("a", D2, 2)]
    assert len(Ledger(store).rows("silver.marks")) == 8


STOPPED = """
import os, signal, sys
import lake.engine.failpoints
from lake.commands.cli import main

lake.engine.failpoints._kill = lambda: os.kill(os.getpid(), signal.SIGSTOP)
main()
"""
"""The command line, which stands still where its failpoint says until it is sent on."""


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.streams
def test_two_homes_that_share_their_tables_write_an_empty_day_one_after_the_other(tmp_path: Path) -> None:
    """Nothing in the two environments is shared but LAKEHOUSE_TABLES: not the locks of their homes, not Dagster's."""
    source = cut_source(tmp_path / "source", Days.parse("2013-01-01"), one_of=40)
    shared = {"LAKEHOUSE_TABLES": str(tmp_path / "tables"), "LAKEHOUSE_SPARK_MASTER": "local[1]"}
    command = ["refresh", "silver.departures", "--days", "2013-01-01"]
    homes = [{**shared, "LAKEHOUSE_HOME": str(tmp_path / name)} for name in ("a", "b")]
    for home in homes:
        replay(Path(home["LAKEHOUSE_HOME"]) / "landing", Days.parse("2012-12-31..2013-01-02"), source)
    first = started(command, {**homes[0], VARIABLE: "before_write@silver.departures"}, code=STOPPED)
    assert os.waitpid(first.pid, os.WUNTRACED)[1] >> 8 == signal.SIGSTOP

    second = started(["lake.commands.cli", *command], homes[1])
    assert second.stderr is not None
    told = next((line for line in second.stderr if f"pid {first.pid}" in line), "")
    rows_meanwhile = DeltaTable(str(tmp_path / "tables/silver/departures")).to_pyarrow_table().num_rows
    first.send_signal(signal.SIGCONT)
    ends = [finished(process) for process in (first, second)]

    assert [code for code, _, _ in ends] == [0, 0], ends
    assert told
    assert rows_meanwhile == 0
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # only logs and rows are read
    keys = Counter(tuple(row[name] for name in departures.key) for row in stored_rows(store, departures))
    assert len(keys) == 10
    assert set(keys.values()) == {1}


KILLED = """
import os, signal, sys
import psutil
import lake.engine.failpoints
from tests.end_to_end import worker

def kill_alone():
    for child in psutil.Process().children(recursive=True):
        child.suspend()
    os.kill(os.getpid(), signal.SIGKILL)

lake.engine.failpoints._kill = kill_alone
worker.run(sys.argv[1:])
"""
"""A worker that is killed where its failpoint says, and whose JVM stands still there."""


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.streams
def test_a_refresh_waits_for_the_jvm_of_a_killed_one_that_is_about_to_append_to_the_same_empty_day(
    store: DeltaStore, tmp_path: Path
) -> None:
    land(store, D1, "a", [(name, D1, 1) for name in ("a", "b", "c")])
    refresh(mark_files, store, Days.of(D1))
    store.create(marks)
    arguments = worker(tmp_path, ["silver.marks"], [Days.of(D1)])[1:]
    with started(arguments, {VARIABLE: "after_files@silver.marks"}, code=KILLED) as killed:
        assert killed.wait(120) == -signal.SIGKILL
    holder = read_holder(store.locks / "silver.marks.holder")
    assert holder is not None
    jvm = psutil.Process(holder.jvms[0][0])
    told: list[str] = []

    def let_it_go_on(message: str) -> None:
        told.append(message)
        jvm.resume()

    store.on_wait = let_it_go_on
    try:
        refresh(marks, store, Days.of(D1))
    finally:
        with suppress(psutil.NoSuchProcess):
            jvm.kill()

    assert len(told) == 1
    assert "of a writer that was killed" in told[0]
    assert points(store) == [("a", D1, 1), ("b", D1, 1), ("c", D1, 1)]
    assert due(store) == {}


HOLD = """
import sys
from pathlib import Path
from lake.testing.lakes import open_lake
with open_lake(Path(sys.argv[1]), None).lock("silver.marks"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of silver.marks."""
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment, stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_who_waits_too_long_for_a_table_is_told_by_which_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # locks need no session
    store.lock_timeout_seconds = 0.3

    with pytest.raises(TableLocked) as refused, store.lock("silver.marks"):
        raise AssertionError("two writers at once")

    assert refused.value.holder == f"pid {holder.pid}"
    assert f"another process is writing it (pid {holder.pid})" in str(refused.value)


def test_a_killed_writer_leaves_nothing_locked(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # locks need no session
    store.lock_timeout_seconds = 30
    began = time.monotonic()

    with store.lock("silver.marks"):
        assert time.monotonic() - began < 5


# Disk full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system, and only where mounting is allowed")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.spark
@pytest.mark.slow
def test_on_a_full_disk_nothing_half_written_is_seen_and_with_room_the_same_run_works(
    store: DeltaStore, small_disk: Path
) -> None:
    store.tables = str(small_disk / "tables")
    land(store, D1, "a", [("a", D1, 1)])
    refresh(mark_files, store, Days.of(D1))
    refresh(marks, store, Days.of(D1))
    land(store, D1, "a", [("a", D1, 10)])
    refresh(mark_files, store, Days.of(D1))
    filler = small_disk / "filler"
    fill(filler)

    with pytest.raises(Exception, match=r"(?i)no space left|disk full|os error 28"):
        refresh(marks, store, Days.of(D1))
    assert points(store) == [("a", D1, 1)]

    filler.unlink()
    refresh(marks, store, Days.of(D1))
    assert points(store) == [("a", D1, 10)]
    assert due(store) == {}


def fill(file: Path) -> None:
    """Write until nothing more fits."""
    with file.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 4096):
                pass
        except OSError:
            return


# Files that are not what they should be


LANDED = Days.parse("2013-01-01..2013-01-02")


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing folder with one flight date of real messages."""
    root = tmp_path_factory.mktemp("messages")
    replay(root / "landing", LANDED, cut_source(root / "source", Days.parse("2013-01-01"), one_of=12))
    return root / "landing"


@pytest.fixture
def landed(store: DeltaStore, messages: Path) -> DeltaStore:
    """A lake in which they have landed and are not computed yet."""
    shutil.copytree(messages, store.landing.root)
    return store


def archive(store: DeltaStore) -> Path:
    return store.landing.root / "departures" / "landed_on=2013-01-01" / "departures.jsonl"


def rewrite(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = change(file.read_text().splitlines())
    file.write_text("".join(f"{line}\n" for line in lines))


def refresh_departures(store: DeltaStore, days: Days = LANDED) -> list[int]:
    """Rows rejected by bronze and by silver."""
    return [refresh(table, store, days).total.rejected for table in (departure_events, departures)]


@pytest.mark.spark
def test_a_half_written_file_costs_its_last_line_until_the_whole_file_is_there(landed: DeltaStore) -> None:
    whole = archive(landed).read_text()
    lines = whole.splitlines()
    archive(landed).write_text("\n".join(lines[:-1]) + "\n" + lines[-1][: len(lines[-1]) // 2])

    assert refresh_departures(landed) == [1, 0]
    half = len(stored_rows(landed, departures))
    (row,) = quarantined(landed, departure_events)
    assert row["raw"] == lines[-1][: len(lines[-1]) // 2]
    assert row["day"] == D1

    archive(landed).write_text(whole)
    tables = [departure_events, departures]
    assert list(Survey(tables, landed, CALENDAR).states["bronze.departure_events"].stale) == [D1]
    assert refresh_departures(landed) == [0, 0]
    assert len(stored_rows(landed, departures)) == half + 1
    assert quarantined(landed, departure_events) == []


@pytest.mark.spark
def test_a_file_that_is_delivered_twice_changes_nothing_but_the_count_of_duplicates(landed: DeltaStore) -> None:
    refresh_departures(landed)
    once = stored_rows(landed, departures)
    lines = archive(landed).read_text().splitlines()
    archive(landed).with_name("departures (1).jsonl").write_text(archive(landed).read_text())

    receipt = refresh(departure_events, landed, LANDED)
    refresh(departures, landed, LANDED)

    assert receipt.total.duplicates == len(lines)
    assert stored_rows(landed, departures) == once


@pytest.mark.spark
def test_a_day_of_which_half_is_broken_keeps_the_other_half_and_all_other_days(landed: DeltaStore) -> None:
    refresh_departures(landed)
    whole = stored_rows(landed, departures)
    good = archive(landed).read_text()

    def break_every_other(lines: list[str]) -> list[str]:
        messages = [json.loads(line) for line in lines]
        for message in messages[::2]:
            message["value"] = message["value"][:-5]
        return [json.dumps(message) for message in messages]

    rewrite(archive(landed), break_every_other)
    broken = (len(good.splitlines()) + 1) // 2
    assert refresh_departures(landed) == [0, broken]
    rows = stored_rows(landed, departures)
    kept = [row for row in whole if row in rows]
    assert kept == rows
    assert len(rows) == len(whole) - broken
    rejected = quarantined(landed, departures)
    assert {row["day"] for row in rejected} == {D1}
    assert {rule for row in rejected for rule in row["rules"]} >= {"json_errors:equal_to"}
    assert all(row["raw"] for row in rejected)

    archive(landed).write_text(good)
    assert refresh_departures(landed) == [0, 0]
    assert stored_rows(landed, departures) == whole
    assert quarantined(landed, departures) == []


# Hostile input: it is refused where it enters, before any SQL or path sees it.


@pytest.mark.parametrize("text", [text for text in HOSTILE_DAYS if text and text.strip() == text])
def test_hostile_partition_keys_do_not_become_days(text: str) -> None:
    with pytest.raises(BadDay):
        days_of_run({"dagster/partition": text})
    with pytest.raises(BadDay):
        days_of_run({"dagster/asset_partition_range_start": "2013-01-01", "dagster/asset_partition_range_end": text})


def test_a_reversed_range_of_partition_keys_is_refused() -> None:
    tags = {"dagster/asset_partition_range_start": "2013-01-02", "dagster/asset_partition_range_end": "2013-01-01"}

    with pytest.raises(BadDay):
        days_of_run(tags)


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if name != "silver" and name.strip() == name])
def test_hostile_table_names_are_no_tables(name: str) -> None:
    from lake.project.environment import open_environment

    environment = open_environment(Settings.from_env({"LAKEHOUSE_HOME": "/nowhere"}))

    with pytest.raises(UnknownTable) as refused:
        environment.choose([name])
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "arguments",
    [
        ["refresh", "--days", "2013-01-01' OR 1=1"],
        ["refresh", "--days", "2013-01-02..2013-01-01"],
        ["refresh", "--days", "9999-99-99"],
        ["refresh", "../../etc/passwd", "--days", "2013-01-01"],
        ["refresh", "silver.departures; DROP TABLE x"],
        ["replay", "--days", "../../etc"],
        ["quarantine", "silver.`departures`"],
        ["quarantine", "silver.departures", "--days", "２０１３-０１-０１"],
        ["status", "no.such.table"],
    ],
    ids=" ".join,
)
def test_hostile_arguments_touch_nothing(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("LAKEHOUSE_HOME", str(home))
    add_extras()

    result = CliRunner().invoke(commands, arguments)

    assert isinstance(result.exception, LakeError), result
    assert "next:" in str(result.exception)
    assert not (home / "tables").exists()
    assert [path.name for path in tmp_path.iterdir()] in ([], ["home"])


@pytest.mark.parametrize("variable", ["LAKEHOUSE_FIRST_DAY", "LAKEHOUSE_LAST_DAY"])
@pytest.mark.parametrize("text", ["2013-01-01' OR 1=1", "9999-99-99", "../.."])
def test_hostile_settings_are_refused(variable: str, text: str) -> None:
    with pytest.raises(LakeError):
        Settings.from_env({variable: text})


@pytest.mark.spark
def test_hostile_values_in_messages_are_text_and_nothing_else(landed: DeltaStore) -> None:
    """A message may claim any day, name or path; it ends in quarantine, and its day is the one it landed on."""
    claims = [
        "2013-01-01' OR 1=1",
        "../../../etc/passwd",
        "9999-99-99",
        "+10000-01-01T00:00:00Z",
        "２０１３-０１-０１T00:00:00Z",
    ]

    def poison(lines: list[str]) -> list[str]:
        messages = [json.loads(line) for line in lines]
        for message, claim in zip(messages, claims, strict=False):
            value = {**json.loads(message["value"]), "departed_at": claim, "flight_date": claim, "carrier": claim}
            message["value"] = json.dumps(value)
        return [json.dumps(message) for message in messages]

    rewrite(archive(landed), poison)

    assert refresh_departures(landed) == [0, len(claims)]
    assert {row["day"] for row in quarantined(landed, departures)} == {D1}
    folders = {path.name for path in Path(landed.path(departure_events)).glob("landed_on=*/*")}
    assert folders <= {"event_date=2013-01-01", "event_date=2013-01-02"}


# Another host


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.year
def test_a_host_in_new_york_gives_the_same_rows_on_the_days_when_clocks_change(tmp_path: Path) -> None:
    """All tables are computed in a process whose zone is New York's; what they must be comes from the CSV, in UTC."""
    changes = [date(2013, 3, 10), date(2013, 11, 3)]
    ranges = [Days.of(day).widen(before=1, after=2) for day in changes]
    source = cut_source(tmp_path / "source", changes, one_of=5)
    for days in ranges:
        replay(tmp_path / "landing", days, source)

    code, _, err = finished(started(worker(tmp_path, list(TABLES), ranges), {"TZ": "America/New_York"}))

    assert code == 0, err
    with duckdb.connect(str(tmp_path / "oracle.duckdb")) as database:
        build_oracle(database, source)
    with duckdb_over(open_lake(tmp_path, None)) as sql:  # type: ignore[arg-type]  # DuckDB needs no session
        sql.execute(f"ATTACH '{tmp_path / 'oracle.duckdb'}' AS oracle (READ_ONLY)")
        for name in ORACLE_TABLES:
            columns = ", ".join(TABLES[name].contract.stored_names)
            lake, oracle = f"SELECT {columns} FROM {name}", f"SELECT {columns} FROM oracle.{name}"
            differing = sql.execute(f"({lake} EXCEPT ALL {oracle}) UNION ALL ({oracle} EXCEPT ALL {lake}) LIMIT 3")
            assert differing.fetchall() == [], name
