"""Which tables `lakehouse follow` runs as streams, and which it computes early beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import lake.commands.following
from lake.commands.following import follow_from_command_line
from lake.declare.days import Days
from lake.declare.table import Table
from lake.engine.compiling import Work
from lake.ownership.frontier import Frontier
from lake.project.settings import Settings
from lake.stream.driver import Followed
from lake.stream.early import Early
from lake.write.store import DeltaStore

EVENTS = ["arrival_events", "departure_events", "arrivals", "departures"]
DAY = Days.parse("2013-01-01").start


def followed(names: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """The streams, and the tables that are computed early, of a call of the command."""
    asked: list[tuple[Iterable[Table], Early]] = []

    def note(tables: Iterable[Table], *_: object, early: Early, **__: Any) -> Followed:
        asked.append((tables, early))
        return Followed({}, Frontier(DAY, DAY))

    monkeypatch.setattr(lake.commands.following, "follow", note)
    follow_from_command_line(Console(quiet=True), names, [], [], None, until_idle=True)
    ((tables, early),) = asked
    return sorted(table.name for table in tables), [table.name for table in early.tables]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))


def test_without_names_all_streams_run_and_what_declares_it_is_computed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, early = followed([], monkeypatch)

    gold = ["aircraft_last_seen", "delay_alerts", "hourly_airport_performance"]
    assert streams == sorted([*EVENTS, "flights", *gold])
    assert early == ["flight_delay_features", "flight_delay_scores"]


def test_a_batch_only_table_brings_what_it_is_computed_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert followed(["flight_delay_scores"], monkeypatch) == (
        sorted([*EVENTS, "flights"]),
        ["flight_delay_features", "flight_delay_scores"],
    )
    assert followed(["daily_carrier_performance", "flights"], monkeypatch) == (
        sorted([*EVENTS, "flights"]),
        ["daily_carrier_performance"],
    )


def test_a_stream_that_is_named_brings_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert followed(["departures"], monkeypatch) == (["departures"], [])


def test_spark_starts_for_streams_when_the_streams_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[tuple[Settings, Work]]()

    def follow(_: object, store: DeltaStore, *__: object, **___: object) -> Followed:
        assert not started, "a process that may not run the streams starts no Spark"
        store.session()
        return Followed({}, Frontier(DAY, DAY))

    monkeypatch.setattr(lake.commands.following, "open_session", lambda *asked: started.append(asked))
    monkeypatch.setattr(lake.commands.following, "follow", follow)
    follow_from_command_line(Console(quiet=True), ["departures"], [], [], None, until_idle=True)

    assert [work for _, work in started] == [Work.STREAMS]
