"""The commands on tables and landing in S3 do what they do in a folder, and say in one message why they cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from airline.replay import replay
from lake.declare.days import Days
from lake.declare.table import Table
from lake.engine.ports import free_ports
from lake.errors import StorageUnreachable
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.keys import asset_key
from lake.project.settings import Settings
from lake.storage.landing import Landing
from lake.storage.reached import outage, refuse_unreachable
from lake.storage.s3 import S3
from lake.write.store import DeltaStore
from tests.airline_lakes import TABLES, cut_source
from tests.s3.server import BUCKET, Server, rows_of_log, running

DAYS = Days.parse("2013-01-01..2013-01-03")
PLACES = {"TABLES": "airline", "LANDING": "landed", "CHECKPOINTS": "checkpoints"}
ROWS = "dagster/partition_row_count"
STREAMED = ["bronze.departure_events", "silver.departures", "bronze.arrival_events", "silver.arrivals"]


def settings_of(home: Path, **settings: str) -> dict[str, str]:
    said = {"HOME": str(home), "NOW": "2013-01-03T23:59:00Z", "SPARK_MASTER": "local[2]", **settings}
    return {f"LAKEHOUSE_{name}": value for name, value in said.items()} | {"TZ": "UTC"}


def run(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-m", "lake.commands.cli", *arguments]
    return subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, timeout=600)


def done(env: Mapping[str, str], *arguments: str) -> str:
    ended = run(env, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("landed")
    source = cut_source(root / "source", Days.parse("2013-01-01..2013-01-04"), one_of=40)
    replay(root / "landing", DAYS.widen(before=1), source, late=0.1, duplicates=0.1, malformed=0.02, seed=7)
    return root / "landing"


@pytest.fixture(scope="module")
def near(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a lake in a folder."""
    return settings_of(tmp_path_factory.mktemp("near"), LANDING=str(landing))


@pytest.fixture(scope="module")
def far(s3: Server, landing: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a lake on S3, with its home here."""
    home, client = tmp_path_factory.mktemp("far"), s3.client()
    for file in (path for path in landing.rglob("*") if path.is_file()):
        client.upload_file(str(file), BUCKET, f"landed/{file.relative_to(landing)}")
    places = {name: f"s3://{BUCKET}/{where}" for name, where in PLACES.items()}
    return settings_of(home, **places) | s3.variables


@pytest.fixture(scope="module")
def both(near: dict[str, str], far: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Both lakes, computed by the command, and what was said."""
    for env in (near, far):
        done(env, "refresh")
    return near, far


def assert_same(s3: Server, near: Path, far: str, tables: Iterable[Table]) -> int:
    """Compare tables and quarantines of a folder and of a prefix; how many rows there are."""
    store, rows = DeltaStore(str(near), Landing(near), near, pytest.fail), 0
    for path in [place(table) for table in tables for place in (store.path, store.quarantine_path)]:

        def read(name: str, path: str = path) -> bytes | None:
            file = Path(path, name)
            return file.read_bytes() if file.is_file() else None

        expected = rows_of_log(read)
        assert rows_of_log(s3.reader(far + path.removeprefix(str(near)))) == expected, path
        rows += len(expected)
    return rows


@pytest.mark.timeout(1800)
def test_a_backfill_gives_the_same_tables(s3: Server, both: tuple[dict[str, str], dict[str, str]]) -> None:
    assert assert_same(s3, Path(both[0]["LAKEHOUSE_HOME"], "tables"), "airline", TABLES.values()) > 3000


def test_status_and_sql_say_the_same(both: tuple[dict[str, str], dict[str, str]]) -> None:
    query = "select * from gold.daily_carrier_performance order by all"
    said = [(done(env, "status").splitlines(), done(env, "sql", "--csv", query)) for env in both]

    assert said[1][0][0].startswith(f"s3://{BUCKET}/airline, as of 2013-01-03")
    assert said[0][0][1:] == said[1][0][1:]
    assert said[0][1] == said[1][1]
    assert len(said[0][1].splitlines()) > 5


def recorded(env: Mapping[str, str]) -> dict[str, dict[str | None, object]]:
    """What Dagster says of each table: rows by day."""
    with pytest.MonkeyPatch.context() as process:
        process.setenv("DAGSTER_HOME", "")
        with open_instance(Settings.from_env(env)) as instance:
            found = {
                name: instance.fetch_materializations(asset_key(table), limit=100) for name, table in TABLES.items()
            }
    return {
        name: {
            record.partition_key: record.asset_materialization.metadata[
                ROWS if record.partition_key else "dagster/row_count"
            ].value
            for record in records.records
            if record.asset_materialization
        }
        for name, records in found.items()
    }


def test_dagster_has_the_same_materializations(both: tuple[dict[str, str], dict[str, str]]) -> None:
    of_near, of_far = map(recorded, both)

    assert of_far == of_near
    assert sum(map(bool, of_near.values())) > 15  # no model was delivered


def test_what_is_due_is_known(both: tuple[dict[str, str], dict[str, str]]) -> None:
    assert [done(env, "refresh") for env in both] == ["nothing to do: no day is missing or stale\n"] * 2


def test_streams_go_on_from_checkpoints_on_s3(
    s3: Server, near: dict[str, str], far: dict[str, str], tmp_path: Path
) -> None:
    places = {"LAKEHOUSE_TABLES": f"s3://{BUCKET}/streamed", "LAKEHOUSE_CHECKPOINTS": f"s3://{BUCKET}/streamed-to"}
    of_near = near | {"LAKEHOUSE_HOME": str(tmp_path / "near")}
    of_far = far | places | {"LAKEHOUSE_HOME": str(tmp_path / "far")}
    call = ("follow", "--until-idle", "--since", "2013-01-01", *STREAMED)

    done(of_near, *call)
    first, second = done(of_far, *call), done(of_far | {"LAKEHOUSE_HOME": str(tmp_path / "another")}, *call)

    assert "silver.departures" in first
    assert "rows" not in second  # from another home, and nothing is read again
    chosen = [TABLES[name] for name in STREAMED]
    assert assert_same(s3, tmp_path / "near" / "tables", "streamed", chosen) > 100
    assert s3.client().list_objects_v2(Bucket=BUCKET, Prefix="streamed-to/silver/departures/g1-")["KeyCount"] > 5


def test_files_are_landed_and_loaded(both: tuple[dict[str, str], dict[str, str]], tmp_path: Path) -> None:
    file = tmp_path / "more.jsonl"
    file.write_text('{"carrier": "ZZ", "name": "Late Air"}\n')
    land = ("land", "airlines", str(file), "--day", "2013-01-03")
    said = [done(env, *land) for env in both]

    assert said[1].startswith(f"landed 1 file in s3://{BUCKET}/landed/airlines/landed_on=2013-01-03, ")
    assert said[0].partition(", ")[2] == said[1].partition(", ")[2]
    assert done(both[1], *land).startswith("landed before, with the same content: more.jsonl")
    for env in both:
        done(env, "refresh", "bronze.reference_airlines")
    query = "select line from bronze.reference_airlines order by all"
    assert done(both[0], "sql", "--csv", query) == done(both[1], "sql", "--csv", query)
    file.write_text("another")
    assert "another file of this name landed before" in run(both[1], *land).stderr


def test_what_needs_a_folder_says_so(far: dict[str, str]) -> None:
    ended = run(far, "replay", "--days", "2013-01-01..2013-01-01")

    assert ended.returncode == 3
    assert f"landing s3://{BUCKET}/landed: lies in an object store" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_no_key_is_written_anywhere(s3: Server, both: tuple[dict[str, str], dict[str, str]]) -> None:
    home = Path(both[1]["LAKEHOUSE_HOME"])
    files = [file for file in home.rglob("*") if file.is_file()]

    assert len(files) > 20
    assert [file for file in files if s3.secret.encode() in file.read_bytes()] == []
    assert [file for file in files if s3.key.encode() in file.read_bytes()] == []


WRONG = {
    "endpoint": "does not answer: ",
    "key": "refuses: InvalidAccessKeyId",
    "secret": "refuses: SignatureDoesNotMatch",
    "bucket": "has no bucket of this name",
}


@pytest.mark.parametrize("arguments", [("status",), ("refresh",), ("sql", "select 1"), ("follow", "--until-idle")])
@pytest.mark.parametrize(("wrong", "said"), WRONG.items())
def test_what_cannot_be_used_is_one_message(
    far: dict[str, str], wrong: str, said: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    change = {
        "endpoint": {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"},
        "key": {"AWS_ACCESS_KEY_ID": "AKIDNOBODY"},
        "secret": {"AWS_SECRET_ACCESS_KEY": "notthesecret"},
        "bucket": {"LAKEHOUSE_TABLES": "s3://no-such-bucket/airline"},
    }[wrong]

    ended = run(far | {"LAKEHOUSE_HOME": str(tmp_path)} | change, *arguments)

    text = ended.stdout + ended.stderr
    assert ended.returncode == (75 if wrong == "endpoint" else 3), text
    assert said in text
    assert "next: " in text
    assert "Traceback" not in text
    assert len(text.splitlines()) <= 4, text
    assert far["AWS_SECRET_ACCESS_KEY"] not in text


def test_keys_may_be_storage_options(far: dict[str, str], s3: Server, tmp_path: Path) -> None:
    without = {name: value for name, value in far.items() if not name.startswith("AWS_")}
    keys = {"access_key_id": s3.key, "secret_access_key": s3.secret}
    options = {"endpoint": s3.url, "region": s3.variables["AWS_REGION"], **keys}
    given = {"STORAGE_OPTIONS": json.dumps(options), "TABLES": f"s3a://{BUCKET}/other", "HOME": str(tmp_path)}
    env = without | {f"LAKEHOUSE_{name}": value for name, value in given.items()}

    done(env, "refresh", "bronze.reference_airlines")

    assert "32" in done(
        env, "sql", "--csv", "select count(*) from bronze.reference_airlines where file <> 'more.jsonl'"
    )
    assert [file for file in tmp_path.rglob("*") if file.is_file() and s3.secret.encode() in file.read_bytes()] == []


def test_a_store_that_goes_away_says_so(tmp_path: Path) -> None:
    location = f"s3://{BUCKET}/gone"
    with running(tmp_path / "moto.log") as server:
        reached = S3.of(location, {}, server.variables)
        assert reached is not None
        keys = {"aws_access_key_id": server.key, "aws_secret_access_key": server.secret}
        refuse_unreachable(location, {**reached.options, **keys})
        assert outage() is None

    assert isinstance(found := outage(), StorageUnreachable)
    assert f"{server.url} does not answer" in str(found)
