"""What a fresh warm process does while it is idle. Needs no JVM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lake.declare.table import Table
from lake.orchestration.warm import warm_up
from lake.orchestration.warm.execute import CodeLocation
from lake.orchestration.warm.warm_up import WarmUp
from lake.ownership.ledger import Entry
from lake.project.settings import Settings
from tests.lakes import without_spark
from tests.recorded import D1, D2, D3, record
from tests.tiny import mark_files, marks, totals

Computed = list[tuple[str, object]]


@pytest.fixture
def warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WarmUp:
    """Three tables of three days, of which the second is the newest small one."""
    store = without_spark(tmp_path)
    for table in (mark_files, marks, totals):
        record(store, table, [D1, D2])
        record(store, table, [D3], rows=warm_up._MOST_ROWS + 1)
    monkeypatch.setattr(warm_up, "open_session", lambda _: cast("Any", SimpleNamespace(range=_session_range)))
    monkeypatch.setattr(warm_up, "_write_aside", lambda _: None)
    location = CodeLocation("here", cast("Any", SimpleNamespace(get_job=lambda _: None)))
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    return WarmUp(settings, [mark_files, marks, totals], store, location, lambda: True)


def _session_range(_: int) -> Any:
    counted = SimpleNamespace(collect=list)
    return SimpleNamespace(groupBy=lambda _: SimpleNamespace(count=lambda: counted))


def run(warm: WarmUp, monkeypatch: pytest.MonkeyPatch, compute: Callable[[Table], None] = lambda _: None) -> Computed:
    """Warm up, and give the days that were computed."""
    found: Computed = []

    def computed(table: Table, _: object, entry: Entry, __: object) -> None:
        found.append((table.name, entry.day))
        compute(table)

    monkeypatch.setattr(warm_up, "computed_alone_and_compared", computed)
    warm.run()
    return found


def test_it_computes_the_newest_small_day_of_each_table_that_reads_tables(
    warm: WarmUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(warm, monkeypatch) == [("marks", D2), ("totals", D2)]


def test_it_stops_once_a_run_comes(warm: WarmUp, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True, False, True])
    assert run(replace(warm, is_idle=lambda: next(answers)), monkeypatch) == [("marks", D2)]


def test_it_stops_where_memory_is_short(warm: WarmUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=warm_up._MEMORY_LEFT - 1))
    assert run(warm, monkeypatch) == []


def test_it_stops_after_a_while(warm: WarmUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "_LASTS_SECONDS", 0.0)
    assert run(warm, monkeypatch) == []


def test_a_table_that_cannot_be_computed_keeps_no_other_from_it(warm: WarmUp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(table: Table) -> None:
        raise ValueError(table.name)

    assert run(warm, monkeypatch, fail) == [("marks", D2), ("totals", D2)]


def test_a_session_that_does_not_start_ends_nothing(
    warm: WarmUp, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Settings) -> None:
        raise OSError("no JVM")

    monkeypatch.setattr(warm_up, "open_session", fail)
    assert run(warm, monkeypatch) == []
    assert "no JVM" in capfd.readouterr().err
