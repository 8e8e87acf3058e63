"""Which days the daily schedule asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg

import lakehouse_assets
from lake.declare.table import Read, Table, discover
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sensors.daily import WAITS_FOR, build_daily_schedule, days_to_look_back
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import SENSORS, TABLES, by_name, land, settings_for
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = QUIET_DAGSTER


def evaluate(settings: Settings, tables: Sequence[Table] = TABLES) -> dg.RunRequest | str:
    with dg.build_schedule_context(
        repository_def=definitions_of(settings, tables).get_repository_def(),
        resources={"lakehouse": LakehouseResource.from_settings(settings)},
    ) as context:
        data = build_daily_schedule(settings, tables).evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message or ""


def test_the_window_reaches_back_as_far_as_rows_that_landed_on_time_can() -> None:
    # readings of D + 1 belong to measurements of D, and those of D + 1 to totals of D.
    assert days_to_look_back(TABLES) == 2


def test_it_runs_half_an_hour_after_midnight_or_at_the_time_that_a_project_gives(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)

    assert build_daily_schedule(settings, TABLES).cron_schedule == "30 0 * * *"
    assert build_daily_schedule(settings, TABLES, cron="15 6 * * *").cron_schedule == "15 6 * * *"


def test_of_the_real_tables_flights_look_back_furthest() -> None:
    # An arrival of D + 2 lands by D + 3.
    assert days_to_look_back(discover(lakehouse_assets).values()) == 3


def test_one_run_covers_what_the_newest_closed_day_can_change(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    land(settings, {date(2020, 1, 5): ["a 2020-01-05 1"]})

    request = evaluate(settings)

    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "2020-01-05"
    expected = {
        "dagster/asset_partition_range_start": "2020-01-03",
        "dagster/asset_partition_range_end": "2020-01-05",
        ".dagster/lakehouse_unless_equal": "true",
        "lakehouse/cause": "schedule",
    }
    assert {name: request.tags[name] for name in expected} == expected


def test_the_window_ends_at_the_edges_of_the_calendar(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, LAKEHOUSE_NOW="2020-01-02T08:00:00Z")
    land(settings, {date(2020, 1, 1): ["a 2020-01-01 1"]})

    request = evaluate(settings)

    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2020-01-01"
    assert request.tags["dagster/asset_partition_range_end"] == "2020-01-01"


def test_a_feed_that_has_not_delivered_keeps_back_what_reads_it_and_nothing_else(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    land(settings, {date(2020, 1, 5): ["a 2020-01-05 1"]})
    dead = replace(by_name("readings"), name="dead_readings", reads=(Read(replace(SENSORS, name="dead")),))
    reader = replace(by_name("known_sensors"), name="dead_sensors", reads=(Read(dead),))

    request = evaluate(settings, [*TABLES, dead, reader])

    assert isinstance(request, dg.RunRequest)
    assert [key.path[-1] for key in request.asset_selection or ()] == [table.name for table in TABLES]
    assert request.tags[WAITS_FOR] == "dead"


def test_a_day_on_which_nothing_landed_is_left_to_the_next_run(tmp_path: Path) -> None:
    assert evaluate(settings_for(tmp_path)) == "nothing has landed for 2020-01-05; the next run looks back to it"


def test_it_is_off_until_somebody_switches_it_on(tmp_path: Path) -> None:
    assert build_daily_schedule(settings_for(tmp_path), TABLES).default_status == dg.DefaultScheduleStatus.STOPPED
