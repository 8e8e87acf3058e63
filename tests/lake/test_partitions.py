"""The calendar that Dagster shows ends on the lake's open day, by whatever clock the lake lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import PartitionLoadingContext
from dagster._core.definitions.partitions.definition import TimeWindowPartitionsDefinition
from dagster._core.definitions.partitions.snap import PartitionsSnap
from dagster._core.definitions.temporal_context import TemporalContext

from lake.orchestration.calendar_watch import CalendarWatch
from lake.orchestration.keys import asset_key
from lake.orchestration.newest_days import find_newest_days
from lake.orchestration.partitions import build_partitions
from lake.orchestration.refresher import Refresher
from lake.project.environment import Environment
from lake.project.settings import Settings
from lake.write.store import DeltaStore
from tests.tiny import marks

TODAY = datetime.now(UTC).date()
FIRST = date(2012, 12, 31)


def settings_of(home: Path, **named: str) -> Settings:
    named = {"FIRST_DAY": str(FIRST), "LAST_DAY": "open", "HOME": str(home)} | named
    return Settings.from_env({f"LAKEHOUSE_{name}": value for name, value in named.items()})


def as_servers_see_it(partitions: dg.PartitionsDefinition[str]) -> dg.PartitionsDefinition[str]:
    """The web server and the daemon get the calendar from the process that has loaded the code."""
    return PartitionsSnap.from_def(partitions).get_partitions_definition()


def days_of(settings: Settings) -> tuple[str, str, int]:
    """First and last day that can be chosen, and how many there are."""
    keys = as_servers_see_it(build_partitions(settings)).get_partition_keys()
    assert keys == build_partitions(settings).get_partition_keys()
    assert (keys[0], keys[-1]) == (str(settings.calendar().start), str(settings.calendar().last))
    return keys[0], keys[-1], len(keys)


@pytest.mark.parametrize("last_day", ["open", "2014-01-31", str(TODAY + timedelta(days=400))])
def test_in_a_replay_the_calendar_ends_with_the_day_of_its_clock(tmp_path: Path, last_day: str) -> None:
    assert days_of(settings_of(tmp_path, LAST_DAY=last_day, NOW="2013-02-01T06:00:00Z")) == (
        "2012-12-31",
        "2013-02-01",
        33,
    )


def test_the_newest_days_of_a_calendar_that_has_ended_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        TimeWindowPartitionsDefinition,
        "get_paginated_partition_keys",
        TimeWindowPartitionsDefinition.get_paginated_partition_keys,
    )
    settings = settings_of(tmp_path, NOW="2013-02-01T06:00:00Z")
    days = ["2013-02-01", "2013-01-31", "2013-01-30"]
    assert newest_days(settings) != days, "Dagster does it itself: delete lake/orchestration/newest_days.py"

    find_newest_days()

    assert newest_days(settings) == days
    assert newest_days(settings_of(tmp_path))[0] == str(TODAY)


def newest_days(settings: Settings) -> Sequence[str]:
    """The three newest days, asked for as the plots of a table do."""
    calendar = as_servers_see_it(build_partitions(settings))
    moment = TemporalContext(effective_dt=datetime.now(UTC), last_event_id=None)
    context = PartitionLoadingContext(temporal_context=moment, dynamic_partitions_store=None)
    return calendar.get_paginated_partition_keys(context, 3, ascending=False).results


def test_a_calendar_that_has_ended_stays_as_it_is(tmp_path: Path) -> None:
    expected = ("2012-12-31", "2013-01-05", 6)
    assert days_of(settings_of(tmp_path, LAST_DAY="2013-01-05")) == expected
    assert days_of(settings_of(tmp_path, LAST_DAY="2013-01-05", NOW="2013-02-01T06:00:00Z")) == expected


@pytest.mark.parametrize("last_day", ["open", str(TODAY + timedelta(days=400))])
def test_by_the_wall_clock_the_calendar_holds_today_and_grows_without_a_reload(tmp_path: Path, last_day: str) -> None:
    settings = settings_of(tmp_path, LAST_DAY=last_day)

    assert days_of(settings) == (str(FIRST), str(TODAY), (TODAY - FIRST).days + 1)
    shown = as_servers_see_it(build_partitions(settings))
    with dg.partition_loading_context(effective_dt=datetime.now(UTC) + timedelta(days=1)):
        assert shown.get_last_partition_key() == str(TODAY + timedelta(days=1))


def test_a_clock_that_is_ahead_of_the_wall_s_has_its_days(tmp_path: Path) -> None:
    ahead = TODAY + timedelta(days=40)
    assert days_of(settings_of(tmp_path, NOW=f"{ahead}T12:00:00Z"))[1] == str(ahead)


def test_before_its_first_day_a_calendar_holds_that_day(tmp_path: Path) -> None:
    first = TODAY + timedelta(days=3)
    assert days_of(settings_of(tmp_path, FIRST_DAY=str(first))) == (str(first), str(first), 1)


@dataclass
class Workspace:
    """What a web server has loaded of two code locations, of which one has no calendar."""

    calendar: dg.PartitionsDefinition[str]
    reloaded: list[str] = field(default_factory=list)
    is_broken: bool = False

    def create_request_context(self) -> Any:
        shown = set() if self.is_broken else {as_servers_see_it(self.calendar)}
        graph = SimpleNamespace(all_partitions_defs=shown)
        return SimpleNamespace(asset_graph=graph, code_location_names=["lakehouse", "other"])

    def reload_code_location(self, name: str) -> None:
        self.reloaded.append(name)
        self.calendar = build_partitions(Settings.from_env())


def test_a_day_that_the_clock_reaches_is_shown_without_a_click(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-02-01T06:00:00Z")
    workspace = Workspace(build_partitions(Settings.from_env()))
    watch: Any = CalendarWatch(workspace)  # type: ignore[arg-type]

    assert not watch.look()
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-02-01T23:00:00Z")
    assert not watch.look()
    assert workspace.reloaded == []

    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-02-02T00:00:00Z")
    assert watch.look()
    assert workspace.reloaded == ["lakehouse", "other"]
    assert workspace.calendar.get_last_partition_key() == "2013-02-02"
    assert not watch.look()


def test_code_that_cannot_be_loaded_is_asked_for_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    workspace = Workspace(build_partitions(Settings.from_env()), is_broken=True)
    watch: Any = CalendarWatch(workspace)  # type: ignore[arg-type]

    looks = []
    for now in ("2013-02-01T06:00:00Z", "2013-02-01T07:00:00Z", "2013-02-02T07:00:00Z", "2013-02-02T08:00:00Z"):
        monkeypatch.setenv("LAKEHOUSE_NOW", now)
        looks.append(watch.look())

    assert looks == [True, False, True, False]


def test_a_command_that_moves_the_clock_computes_the_days_that_it_reaches(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, LAST_DAY="2014-01-31")
    settings.make_folders()
    environment = Environment(settings, tables={marks.full_name: marks}, store=cast(DeltaStore, None))

    def last_day() -> str | None:
        partitions = refresher.definitions.resolve_asset_graph().get(asset_key(marks)).partitions_def
        return partitions.get_last_partition_key() if partitions else None

    with Refresher(environment, lambda _: None) as refresher:
        shown = []
        for now in ("2013-02-01T06:00:00Z", "2013-02-01T23:00:00Z", "2013-02-03T01:00:00Z"):
            (settings.landing.root / "_clock.json").write_text(f'{{"now": "{now}"}}')
            shown.append((last_day(), id(refresher.definitions)))

    assert [day for day, _ in shown] == ["2013-02-01", "2013-02-01", "2013-02-03"]
    assert len({built for _, built in shown}) == 2, "what is loaded changes with the day alone"
