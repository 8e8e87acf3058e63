"""What `lakehouse status` and the check `row_count` say of rows that another program wrote; no JVM."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lake.declare.table import Table
from lake.orchestration.checks import Inspection, next_step
from lake.ownership.frontier import Frontier, FrontierTable
from lake.project.environment import open_environment
from lake.project.settings import Settings
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.gold.delay_alerts import delay_alerts
from tests.lakehouse_assets.conftest import Lakehouse

D1 = date(2013, 1, 1)
LINE = {"line": "x", "file": "a", "line_number": 1}
ALERT = {
    "rule": "late",
    "airport": "JFK",
    "hour_at": datetime(2013, 1, 1, tzinfo=UTC),
    "late_from_minutes": 1,
    "at_least": 1,
}
ONE = "1 row that nobody computed: another program wrote version 0"
REFRESH = "lakehouse refresh gold.delay_alerts --days 2013-01-01 replaces them by what its inputs hold"
CALENDAR = "delete the rows, or let LAKEHOUSE_FIRST_DAY and LAKEHOUSE_LAST_DAY name a calendar that has 2020-06-01"
WAIT = "delete the rows, or wait: streams own 2013-01-01, and batch replaces it once it is sealed"
LAND = "put the files that they came from into landing/, or delete the rows"


def write(settings: Settings, table: Table, *rows: Mapping[str, Any]) -> None:
    found = pa.Table.from_pylist([dict(row) for row in rows], schema=table.contract.arrow_schema)
    write_deltalake(f"{settings.tables}/{table.path}", found, mode="append", partition_by=table.partition_columns)


@pytest.mark.parametrize(
    ("table", "day", "is_followed", "remedy"),
    [
        (delay_alerts, D1, False, REFRESH),
        (delay_alerts, D1, True, WAIT),
        (delay_alerts, date(2020, 6, 1), False, CALENDAR),
        (weather_files, D1, False, LAND),
        (weather_files, date(2020, 6, 1), False, LAND),
    ],
)
def test_status_and_row_count_name_the_day_and_the_same_next_step(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    table: Table, day: date, is_followed: bool, remedy: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-01-01T00:00:00Z")  # nothing is due
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    store = open_environment(settings).store
    if is_followed:
        frontier = Frontier(D1, D1, claimed=frozenset({table.full_name}))
        FrontierTable(store).change(lambda _: frontier, "test")
    healthy = lakehouse(tmp_path, "status", table.full_name, "--fail")
    row = LINE if table is weather_files else ALERT
    write(settings, table, {**row, "event_date": day, table.day or "": day})

    verdict = Inspection(table, store, settings).row_count()
    shown, failed = (lakehouse(tmp_path, "status", table.full_name, *more) for more in ((), ("--fail",)))

    is_stalled = int(is_followed)  # no process runs the stream that owns its days
    assert (healthy.returncode, shown.returncode, failed.returncode) == (is_stalled, 0, 1), healthy
    assert f"{table.full_name}: {ONE}: {day}; next: {remedy}" in shown.stdout
    assert (verdict.failing, verdict.severity) == ({day: ONE}, "ERROR")
    assert next_step(table.full_name, "row_count", verdict) == remedy


def test_days_that_lack_rows_and_days_with_rows_of_another_program_each_have_a_next_step(tmp_path: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    write(settings, delay_alerts, {**ALERT, "hour_on": D1}, {**ALERT, "hour_on": date(2020, 6, 1)})
    verdict = Inspection(delay_alerts, open_environment(settings).store, settings).row_count()
    assert verdict.remedy == f"{REFRESH}; {CALENDAR}"
