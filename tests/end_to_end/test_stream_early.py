"""Batch-only tables beside streams: their open days are what batch gives of all that the streams have read."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from airline.replay import replay
from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.graph import early_of, streams_of, with_upstream
from lake.engine.failpoints import VARIABLE
from lake.stream.follow import release
from lake.stream.progress import read_statuses
from lake.testing.lakes import interpreted, stored_rows
from tests.airline_lakes import TABLES, cut_source, duckdb_over, refresh_all
from tests.delay_models import BODY, land_model, with_id
from tests.streaming import Lake, Message, at
from tests.tiny_early import EARLY, JAN_1, STREAMS, answers, call, early_in, expected, held, totals

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.streams]

MODEL_ID = with_id(BODY)["model_id"]
ROOT = Path(__file__).parents[2]
FIRST = [call(1, "ann", at(1, 9)), call(2, "bob", at(1, 10)), call(3, "ann", at(2, 1))]
MORE = [call(4, "ann", at(2, 2)), call(5, "bob", at(2, 2)), call(6, "ann", at(1, 23), sent=at(2, 2, 30))]
"""No call is so late on 2 January that the day before would be sealed."""
NEXT_WEEK = [call(7, "bob", at(9, 9)), call(8, "bob", at(9, 10))]
VICTIM = """
import sys
from pathlib import Path
from lake.engine.session import build_session
from lake.testing.lakes import FEW_ROWS
from tests.end_to_end.test_stream_early import until_idle
until_idle(Path(sys.argv[1]), lambda: build_session(app_name="victim", master="local[2]", extra_conf=FEW_ROWS))
"""


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, list(STREAMS))


def clock() -> datetime:
    return at(10)


def until_idle(home: Path, session: Callable[[], SparkSession]) -> None:
    lake = Lake(home, session, list(STREAMS))
    lake.follow(early=early_in(lake.store, clock), now=clock, since=JAN_1)


def is_current(lake: Lake, messages: list[Message]) -> bool:
    """Whether bronze holds these messages, and both tables what is made of them."""
    events = held(lake.store, STREAMS[0])
    return len(events) == len(messages) and tuple(held(lake.store, one) for one in EARLY) == expected(lake.store)


def settled_by_batch(lake: Lake, messages: list[Message]) -> Lake:
    """Another lake in which batch has computed all of it at once."""
    whole = Lake(lake.home / "in batch", lake.session, [*STREAMS, *EARLY])
    whole.land(messages, "all.jsonl")
    whole.refresh(Days.between(JAN_1, date(2013, 1, 9)))
    return whole


def test_early_rows_are_those_of_the_messages_read_so_far_and_once_sealed_those_of_batch(lake: Lake) -> None:
    lake.land(FIRST, "1.jsonl")
    with lake.following(early=early_in(lake.store, clock), now=clock, since=JAN_1) as running:
        running.until(lambda: is_current(lake, FIRST), "the first calls are answered")

        written = lake.store.table_log(answers).commit(lake.store.version(answers) or 0)
        assert written is not None
        assert written.metadata["follow"] == "silver.answers", "else Dagster is not told"

        lake.land(MORE, "2.jsonl")
        running.until(lambda: is_current(lake, FIRST + MORE), "a call of the day before counts there")
        refresh(answers, lake.store, Days.between(JAN_1, date(2013, 1, 2)))
        assert is_current(lake, FIRST + MORE)

        lake.land(NEXT_WEEK, "3.jsonl")
        running.until(lambda: is_current(lake, FIRST + MORE + NEXT_WEEK), "days of next week are there")
        running.until(lambda: first_open(lake) == date(2013, 1, 9), "the days before are sealed")
        every = replace(lake, tables=[*STREAMS, *EARLY])
        every.settle(JAN_1)

    whole = settled_by_batch(lake, FIRST + MORE + NEXT_WEEK)
    assert [lake.rows(one) for one in EARLY] == [whole.rows(one) for one in EARLY]
    said = read_statuses(lake.home / "streams")
    assert [said[one.full_name].state for one in EARLY] == ["stopped", "stopped"]
    assert not due_early(lake)


def due_early(lake: Lake) -> dict[date, str]:
    survey = Survey([*STREAMS, *EARLY], lake.store, Days.between(JAN_1, date(2013, 1, 10)))
    return survey.early_due(answers) | survey.early_due(totals)


def first_open(lake: Lake) -> date | None:
    state = lake.frontier.state()
    return state.first_open if state else None


@pytest.mark.faults
@pytest.mark.parametrize("place", ["after_files@silver.answers", "after_commit@silver.answers"])
def test_a_process_that_is_killed_while_it_computes_early_leaves_no_day_behind(lake: Lake, place: str) -> None:
    lake.land(FIRST, "1.jsonl")
    env = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: place}
    killed = subprocess.run([sys.executable, "-c", VICTIM, str(lake.home)], env=env, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert held(lake.store, totals) == []

    lake.land(MORE, "2.jsonl")
    until_idle(lake.home, lake.session)

    assert is_current(lake, FIRST + MORE)
    assert stored_rows(lake.store, answers) == expected(lake.store)[0]
    assert not due_early(lake)


def test_scores_of_open_days_follow_the_streams(lake: Lake, tmp_path: Path) -> None:
    """The airline's: two batch-only tables, one of the other, that look around a flight."""
    scores = TABLES["gold.flight_delay_scores"]
    early = early_of([scores])
    supply = [one for one in TABLES.values() if one in with_upstream([scores]) and one not in streams_of([scores])]
    lake.tables = streams_of([scores])
    lands = Days.parse("2013-01-01..2013-01-04")
    source = cut_source(tmp_path / "source", Days.parse("2013-01-02..2013-01-04"), one_of=12)
    replay(lake.landing.root, source=source)
    land_model(lake.landing.root, "2013-01-01")
    refresh_all(lake.store, [lands], [one for one in supply if one not in early])

    lake.follow(early=early_in(lake.store, lambda: at(4, 12), early), now=lambda: at(4, 12), since=JAN_1)

    found = stored_rows(lake.store, scores)
    with duckdb_over(lake.store) as sql:
        asked = (
            f"SELECT {', '.join(scores.key)} FROM silver.schedules WHERE flight_date <= DATE '2013-01-04' ORDER BY ALL"
        )
        planned = sql.execute(asked).fetchall()
    assert sorted(tuple(row[name] for name in scores.key) for row in found) == planned != []
    assert {(row["model_id"], row["feature_version"]) for row in found} == {(MODEL_ID, 1)}
    assert all(row["late_probability"] is not None for row in found)
    state = lake.frontier.state()
    assert state is not None
    assert (state.first_early_day(scores) or date.max) <= date(2013, 1, 2), "all of them are early"
    again = [refresh(one, lake.store, lands, unless_equal=True) for one in early]
    assert {outcome for receipt in again for outcome in receipt.outcomes.values()} == {"unchanged"}

    release(lake.frontier)
    refresh_all(lake.store, [lands], [*lake.tables, *early])
    batch = Lake(tmp_path / "in batch", lake.session)
    shutil.copytree(lake.landing.root, batch.landing.root)
    refresh_all(batch.store, [lands], [one for one in TABLES.values() if one in with_upstream([scores])])
    assert [lake.rows(one) for one in early] == [batch.rows(one) for one in early]
