"""What `lakehouse publish` and `lakehouse status` say of sinks."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lake.commands import refreshing
from lake.commands.look import Look
from lake.commands.problems import find_problems
from lake.commands.publishing import publish_from_command_line, publish_what_reads
from lake.commands.sink_status import print_sinks
from lake.commands.status_report import DayRange, report_status
from lake.declare.days import Days
from lake.declare.destinations import DuckDb, Iceberg, Postgres
from lake.declare.sink import sink
from lake.errors import DestinationUnreachable, UnknownSink
from lake.project.environment import Environment
from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.serve.compare import find_differing
from tests.quiet_dagster import QUIET_DAGSTER
from tests.served import CALENDAR, D1, D2, fact_files, facts, lookup, refill, row, survey_of

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]

SINKS = [
    sink(reads=facts, to=DuckDb(), settled_only=False, name="board"),
    sink(reads=lookup, to=Postgres("NO_WAREHOUSE"), settled_only=False, name="names"),
]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    days = {"LAKEHOUSE_FIRST_DAY": str(CALENDAR.start), "LAKEHOUSE_LAST_DAY": str(CALENDAR.last)}
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), **days})
    settings.make_folders()
    tables = {one.full_name: one for one in (fact_files, facts, lookup)}
    made = Environment(settings, tables, open_store(settings), (), {one.full_name: one for one in SINKS})
    refill(made.store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    return made


def publish(environment: Environment, *names: str, days: Days | None = None) -> tuple[bool, str]:
    said = Console(file=io.StringIO(), width=200)
    is_done = publish_from_command_line(said, said, environment, names, days, anew=False)
    return is_done, text(said)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def status(environment: Environment) -> tuple[bool, str]:
    said, look = Console(file=io.StringIO(), width=200), Look(environment, ["facts", "lookup"])
    print_sinks(said, look)
    problems = [one for one in find_problems(look) if one.kind == "not loaded"]
    return not problems, "\n".join([text(said), *map(str, problems)])


def test_a_line_says_what_was_loaded_and_then_that_nothing_is_due(environment: Environment) -> None:
    is_done, said = publish(environment, "board")
    assert is_done
    assert "serving.board" in said
    assert "2024-02-27..2024-02-28" in said
    assert "2 rows of version 1" in said

    assert "up to date" in publish(environment, "serving.board")[1]
    assert "2024-02-28 " in publish(environment, "board", days=Days.of(D2))[1]


def test_a_damaged_table_is_said_once_and_not_of_each_sink_that_reads_it(environment: Environment) -> None:
    log = Path(environment.store.path(facts)) / "_delta_log"
    (log / f"{environment.store.version(facts):020d}.json").write_text("{")

    found = [one.kind for one in find_problems(Look(environment, ["facts", "lookup"])) if "_delta_log" in str(one)]

    assert found == ["damaged"]


def test_a_sink_that_cannot_be_loaded_keeps_no_other_from_it(environment: Environment) -> None:
    refill(environment.store, lookup, None, [{"name": "a", "meaning": "A"}])

    is_done, said = publish(environment)

    assert not is_done
    assert "2 rows of version 1" in said
    assert "FAILED serving.names: serving.names: the variable NO_WAREHOUSE is not set" in said


def test_a_destination_that_does_not_answer_may_be_tried_again(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_WAREHOUSE", "postgresql://lake:topsecret@127.0.0.1:1/postgres")
    with pytest.raises(DestinationUnreachable) as refused:
        publish(environment)
    assert "topsecret" not in str(refused.value)


def test_an_unknown_sink_is_refused_with_those_that_exist(environment: Environment) -> None:
    with pytest.raises(UnknownSink, match=r"serving\.board, serving\.names"):
        publish(environment, "xyz")


def test_a_refresh_loads_what_reads_its_tables_and_says_nothing_of_what_is_up_to_date(environment: Environment) -> None:
    said = Console(file=io.StringIO(), width=200)
    (loaded,) = publish_what_reads(said, said, environment, {facts})
    assert loaded.error is None
    assert "2 rows of version 1" in text(said)

    again = Console(file=io.StringIO(), width=200)
    (passed_over,) = publish_what_reads(again, again, environment, {facts})
    assert passed_over.published is not None
    assert text(again) == ""


def test_status_says_how_far_behind_a_sink_is(environment: Environment) -> None:
    is_whole, said = status(environment)
    assert not is_whole
    assert "serving.board is 2 days behind, from 2024-02-27 on; next: lakehouse publish board" in said
    assert "cannot be read" in said
    publish(environment, "board")

    _, said = status(environment)

    assert "2024-02-28     2  up to date" in said


def test_status_says_of_sinks_for_programs_what_it_says_for_people(environment: Environment) -> None:
    report = {one.sink: one for one in report_status(Look(environment, ["facts", "lookup"])).sinks}
    board, names = report["serving.board"], report["serving.names"]
    assert (board.reads, board.newest_day, board.rows, board.error) == ("gold.facts", None, 0, None)
    assert board.due is not None
    assert [days for due in board.due for days in due.days] == [DayRange(D1, D2)]
    assert (names.rows, names.due) == (None, None)
    assert "the variable NO_WAREHOUSE is not set" in str(names.error)
    publish(environment, "board")

    (board, _) = report_status(Look(environment, ["facts", "lookup"])).sinks

    assert (board.newest_day, board.rows, board.due) == (D2, 2, [])


def test_refresh_says_for_programs_what_became_of_each_sink(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "open_environment", lambda: environment)
    refill(environment.store, lookup, None, [{"name": "a", "meaning": "A"}])
    out, err = Console(file=io.StringIO(), width=200), Console(file=io.StringIO(), width=200)

    ended = refreshing.refresh_from_command_line(out, err, [], None, as_json=True)

    said = {one["sink"]: one for one in json.loads(text(out))["sinks"]}
    assert ended is refreshing.Ended.FAILED
    assert said["serving.board"].pop("seconds") > 0
    assert said["serving.board"] == {
        "sink": "serving.board", "status": "done", "days": [{"first": str(D1), "last": str(D2)}], "rows": 2,
        "version": 1, "message": "",
    }  # fmt: skip
    assert said["serving.names"]["status"] == "failed"
    assert "the variable NO_WAREHOUSE is not set" in said["serving.names"]["message"]


def test_status_and_checks_know_what_follows_the_log(environment: Environment) -> None:
    mirror = sink(reads=facts, to=Iceberg(), settled_only=False, name="mirror")
    known = replace(environment, sinks={mirror.full_name: mirror})
    assert "behind" in status(known)[1]

    assert publish(known, "mirror")[0]

    is_whole, said = status(known)
    assert is_whole
    assert "up to date" in said
    assert find_differing(mirror, survey_of(known.store, facts), known.place) == (2, {})
