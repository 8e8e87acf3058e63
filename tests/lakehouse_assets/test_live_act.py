"""The live act on a small lake: what it leaves behind, and that its proof can fail."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from airline.live_act import FOLLOWED, LIVE_DAYS, StreamDiffersError, _prove, run_live_act
from airline.replay import replay
from lake.commands.refreshing import print_result
from lake.declare.days import Days
from lake.orchestration.refresher import Refresher
from lake.ownership.frontier import FrontierTable, with_streamed_upstream
from lake.project.environment import Environment, open_environment
from lake.project.settings import Settings
from lake.testing.lakes import interpreted
from tests.airline_lakes import cut_source
from tests.quiet_dagster import QUIET_DAGSTER

EARLIER = Days.parse("2013-02-01..2013-02-02")


@pytest.fixture
def environment(tmp_path: Path, spark: SparkSession) -> Environment:
    found = open_environment(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path / "home")}))
    found.settings.make_folders()
    found.store.session = lambda: spark
    followed = with_streamed_upstream(found.choose([FOLLOWED]))
    return replace(found, tables={table.full_name: table for table in followed})


def nothing_is_due(environment: Environment) -> bool:
    return not any(state.missing or state.stale for state in environment.survey().states.values())


@QUIET_DAGSTER
@pytest.mark.streams
@pytest.mark.spark
@pytest.mark.slow
def test_two_days_are_streamed_sealed_repaired_and_equal_batch(
    environment: Environment, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", str(environment.settings.home))
    source = cut_source(tmp_path / "source", Days.parse("2013-02-01..2013-02-06"), one_of=7)
    replay(environment.settings.landing.root, EARLIER, source)
    screen = io.StringIO()
    console = Console(file=screen, width=150)

    with interpreted(spark), Refresher(environment, lambda result: print_result(console, result)) as refresher:
        assert all(result.ok for result in refresher.to_date(list(environment.tables.values())))
        results = run_live_act(console, environment, refresher, source)

    assert results
    assert all(result.ok for result in results)
    assert screen.getvalue().count("equal\n") == 5
    assert f"days are open from {LIVE_DAYS.end} on" in screen.getvalue()
    frontier = FrontierTable(environment.store).state()
    assert frontier is not None
    assert frontier.claimed == frozenset()
    assert nothing_is_due(environment)
    assert list(environment.settings.home.glob("live-*")) == []


def test_a_row_that_batch_does_not_have_fails_the_proof() -> None:
    screen = io.StringIO()
    one, two = Counter({("JFK", 1): 1}), Counter({("JFK", 1): 1, ("LGA", 2): 1})

    with pytest.raises(StreamDiffersError, match=r"gold\.b, days .*: 1 rows differ .*'LGA', 2") as raised:
        _prove(
            Console(file=screen),
            {"gold.a": two, "gold.b": two},
            {"gold.a": one, "gold.b": two},
            {"gold.a": one, "gold.b": one},
        )

    assert raised.value.table == "gold.b"
    assert "equal" in screen.getvalue()


def test_a_row_that_is_there_twice_fails_the_proof() -> None:
    once, twice = Counter({("JFK", 1): 1}), Counter({("JFK", 1): 2})

    with pytest.raises(StreamDiffersError):
        _prove(Console(file=io.StringIO()), {"gold.a": once}, {"gold.a": twice}, {"gold.a": once})
