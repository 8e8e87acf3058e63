"""Verdicts on tables that were written and recorded by hand; no JVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lake.declare.days import Days
from lake.declare.table import Rows, Table
from lake.orchestration import checks
from lake.orchestration.assets import build_check_result
from lake.orchestration.checks import NEXT, SINK_RUNBOOK, Inspection, Verdict, checks_of
from lake.orchestration.keys import asset_key
from lake.orchestration.resource import LakehouseResource
from lake.ownership.ledger import Entry, Ledger, Outcome
from lake.project.settings import Settings
from lake.write.enforce import QUARANTINE
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.reference_planes import reference_planes
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.aircraft import aircraft
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from tests.lakehouse_assets.small_lake import DAY, SENSORS, by_name, land, settings_for

measurements, known_sensors, readings = by_name("measurements"), by_name("known_sensors"), by_name("readings")
SECOND, THIRD = date(2020, 1, 2), date(2020, 1, 3)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


@pytest.fixture
def store(settings: Settings) -> DeltaStore:
    return LakehouseResource.from_settings(settings).store()


def write(store: DeltaStore, table: Table, rows: list[dict[str, Any]]) -> None:
    write_deltalake(
        store.path(table),
        pa.Table.from_pylist(rows, schema=table.contract.arrow_schema),
        mode="append",
        partition_by=table.partition_columns,
    )


def record(store: DeltaStore, table: Table, day: date | None, **facts: Any) -> None:
    counts: dict[str, Any] = {"rows_in": 0, "rows_out": 0, "rejected": 0, "duplicates": 0}
    outcome: Outcome = facts.pop("outcome", "written")
    inputs: Mapping[str, Any] = facts.pop("inputs", {"bronze.readings": 0})
    counts |= facts
    entry = Entry(table.full_name, day, outcome, inputs=inputs, version=0, code_version="x", seconds=1.0, **counts)
    Ledger(store).record([entry])


def measured(sensor: str, day: date) -> dict[str, Any]:
    return {"sensor": sensor, "measured_on": day, "value": 1}


def line(number: int, landed_on: date, event_date: date) -> dict[str, Any]:
    return {"line": "a", "file": "f", "line_number": number, "landed_on": landed_on, "event_date": event_date}


def test_keys_are_counted_in_the_rows_themselves(settings: Settings, store: DeltaStore) -> None:
    write(store, measurements, [measured("a", DAY), measured("b", DAY), measured("a", SECOND)])
    assert Inspection(measurements, store, settings).key_unique().passed

    write(store, measurements, [measured("a", SECOND)])
    verdict = Inspection(measurements, store, settings).key_unique()

    assert verdict.failing == {SECOND: "1 keys have more than one row"}
    assert verdict.facts == {"rows": 4, "days_scanned": "all"}


def test_a_good_day_does_not_hide_the_repeated_key_of_another(settings: Settings, store: DeltaStore) -> None:
    write(store, measurements, [measured("a", DAY), measured("a", DAY), measured("a", SECOND)])

    assert not Inspection(measurements, store, settings, Days.of(SECOND)).key_unique().passed


def test_of_a_large_table_only_the_days_of_the_run_are_scanned(
    settings: Settings, store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SCAN_WHOLE_UP_TO_ROWS", 2)
    write(store, measurements, [measured("a", DAY), measured("a", DAY), measured("a", SECOND)])

    verdict = Inspection(measurements, store, settings, Days.of(SECOND)).key_unique()

    assert verdict.passed
    assert verdict.facts["days_scanned"] == "2020-01-02"


def test_a_table_without_days_has_unique_keys_too(settings: Settings, store: DeltaStore) -> None:
    write(store, known_sensors, [{"sensor": "a"}, {"sensor": "a"}])

    assert Inspection(known_sensors, store, settings).key_unique().failing == {None: "1 keys have more than one row"}


def test_a_table_never_written_repeats_no_key(settings: Settings, store: DeltaStore) -> None:
    assert Inspection(measurements, store, settings).key_unique().passed


@pytest.mark.parametrize(
    ("rows", "rejected", "passed", "severity"),
    [(100, 0, True, "WARN"), (10, 1, True, "WARN"), (100, 2, False, "WARN"), (100, 11, False, "ERROR")],
)
def test_the_share_of_rejected_rows_decides_how_bad_it_is(
    settings: Settings, store: DeltaStore, rows: int, rejected: int, passed: bool, severity: str
) -> None:
    record(store, measurements, DAY, rows_in=rows, rows_out=rows - rejected, rejected=rejected)

    verdict = Inspection(measurements, store, settings).contract()

    assert (verdict.passed, verdict.severity) == (passed, severity)


def test_whatever_check_fails_says_the_next_command() -> None:
    assert set(NEXT) == {*checks_of(departures), *checks_of(measurements)}
    days = Verdict("", {DAY: "", SECOND: "", date(2020, 1, 9): ""})
    result = build_check_result(asset_key(measurements), "contract", days)
    shown = result.description or ""
    assert result.metadata["runbook"].value == "docs/runbook.md#rows-are-in-quarantine"
    assert f"next: {result.metadata['next'].value}" == shown.splitlines()[-1]
    assert shown.splitlines()[-1] == (
        "next: lakehouse quarantine silver.measurements --days 2020-01-01..2020-01-02 shows the rows; mend their "
        "source or the contract, then lakehouse refresh silver.measurements --days 2020-01-01..2020-01-02"
    )
    whole = build_check_result(asset_key(known_sensors), "key_unique", Verdict("", {None: ""})).description or ""
    assert whole.splitlines()[-1] == "next: lakehouse refresh silver.known_sensors"
    sink = build_check_result(dg.AssetKey(["serving", "hours"]), "loaded", Verdict("", {DAY: ""}, remedy="publish it"))
    assert [sink.metadata[name].value for name in ("next", "runbook")] == ["publish it", SINK_RUNBOOK]
    passed = build_check_result(asset_key(measurements), "fresh", Verdict("fresh"))
    assert (passed.description, list(passed.metadata)) == ("fresh", ["failing days"])
    counted = build_check_result(asset_key(measurements), "row_count", Verdict("", facts={"rows_in": 2, "rows_out": 1}))
    assert [*counted.metadata] == ["rows read", "rows written", "failing days"]


ROW = '{"sensor":"a","value":null}'


def test_rejected_rows_are_counted_by_rule(settings: Settings, store: DeltaStore) -> None:
    record(store, measurements, DAY, rows_in=3, rows_out=1, rejected=2)
    rules = [["value:not_null"], ["value:not_null", "sensor:not_null"]]
    rows = [{"day": DAY, "rules": broken, "raw": None, "row": ROW} for broken in rules]
    fields = [("day", pa.date32()), ("rules", pa.list_(pa.string())), ("raw", pa.string()), ("row", pa.string())]
    assert [name for name, _ in fields] == QUARANTINE.names
    write_deltalake(store.quarantine_path(measurements), pa.Table.from_pylist(rows, schema=pa.schema(fields)))

    verdict = Inspection(measurements, store, settings).contract()

    assert verdict.failing == {DAY: "2 of 3 rows rejected (66.7%)"}
    facts = dict(verdict.facts)
    shown = sorted(str(facts.pop(name)) for name in ("rejected_row_1", "rejected_row_2"))
    # With a space after each field, because the UI can end a line only there.
    assert shown == [f"value:not_null{more}: " + '{"sensor":"a", "value":null}' for more in (", sensor:not_null", "")]
    assert facts == {"rows_in": 3, "rejected": 2, "rules": "value:not_null (2), sensor:not_null (1)"}


def test_a_refused_day_is_an_error_however_few_its_rows(settings: Settings, store: DeltaStore) -> None:
    record(store, measurements, DAY, rows_in=1000, rejected=1, outcome="failed")

    verdict = Inspection(measurements, store, settings).contract()

    assert verdict.failing == {DAY: "not written, 1 of 1,000 rows rejected (0.1%)"}
    assert verdict.severity == "ERROR"


def test_every_row_of_the_input_was_read(settings: Settings, store: DeltaStore) -> None:
    write(store, readings, [line(1, DAY, DAY), line(1, SECOND, DAY), line(2, SECOND, SECOND)])
    record(store, measurements, DAY, rows_in=2, rows_out=1, duplicates=1, disagreeing=1)
    record(store, measurements, SECOND, rows_in=1, rows_out=1)

    verdict = Inspection(measurements, store, settings).row_count()

    assert verdict.passed
    assert verdict.facts == {
        "days": 2,
        "rows_in": 3,
        "rows_out": 2,
        "duplicates": 1,
        "disagreeing": 1,
        "compared_with_upstream": 2,
    }


def test_a_row_that_was_not_read_is_missed(settings: Settings, store: DeltaStore) -> None:
    write(store, readings, [line(1, DAY, DAY), line(1, SECOND, DAY)])
    record(store, measurements, DAY, rows_in=1, rows_out=1)

    assert Inspection(measurements, store, settings).row_count().failing == {DAY: "2 rows in bronze.readings, 1 here"}


@pytest.mark.parametrize(
    ("rows", "counts", "failing"),
    [
        ("each", (1, 1), {DAY: "2 rows in bronze.readings, 1 here"}),
        ("some", (1, 1), {}),
        ("some", (0, 1), {}),
        ("some", (3, 1), {DAY: "2 rows in bronze.readings, 3 here"}),
        ("some", (0, 0), {None: "3 rows in bronze.readings in all, 0 here"}),
        ("any", (3, 5), {}),
        ("any", (0, 0), {None: "3 rows in bronze.readings in all, 0 here"}),
    ],
)
def test_a_table_that_drops_or_multiplies_rows_says_so_and_is_held_to_that(
    settings: Settings, store: DeltaStore, rows: Rows, counts: tuple[int, int], failing: dict[date | None, str]
) -> None:
    write(store, readings, [line(1, DAY, DAY), line(2, DAY, DAY), line(1, SECOND, SECOND)])
    for day, candidates in zip((DAY, SECOND), counts, strict=True):
        record(store, measurements, day, rows_in=candidates, rows_out=candidates)

    verdict = Inspection(replace(measurements, rows=rows), store, settings).row_count()

    assert verdict.failing == failing
    assert ("--changed-code" in verdict.remedy) == (verdict.failing != {} and rows != "each")


def test_a_table_without_days_that_drops_every_row_is_told(settings: Settings, store: DeltaStore) -> None:
    write(store, readings, [line(1, DAY, DAY), line(2, DAY, DAY)])
    whole = replace(measurements, day=None, read_by=None, rows="some")

    record(store, whole, None, rows_in=1, rows_out=1)
    assert Inspection(whole, store, settings).row_count().passed
    record(store, whole, None)
    said = {None: "2 rows in bronze.readings in all, 0 here"}
    assert Inspection(whole, store, settings).row_count().failing == said


def test_a_day_of_one_row_that_was_rejected_is_an_error(settings: Settings, store: DeltaStore) -> None:
    record(store, measurements, DAY, rows_in=1, rejected=1)

    verdict = Inspection(measurements, store, settings).contract()

    assert verdict.failing == {DAY: "1 of 1 rows rejected (100.0%)"}
    assert verdict.severity == "ERROR"


def test_a_row_that_came_after_the_day_was_computed_is_not_missed(settings: Settings, store: DeltaStore) -> None:
    write(store, readings, [line(1, DAY, DAY)])
    record(store, measurements, DAY, rows_in=1, rows_out=1)
    write(store, readings, [line(1, SECOND, DAY)])

    verdict = Inspection(measurements, store, settings).row_count()

    assert verdict.passed
    assert verdict.facts["compared_with_upstream"] == 0


def test_rows_of_a_day_that_nobody_computed_are_an_error(settings: Settings, store: DeltaStore) -> None:
    write(store, measurements, [measured("a", THIRD)])

    verdict = Inspection(measurements, store, settings).row_count()

    assert verdict.failing == {THIRD: "1 row that nobody computed: another program wrote version 0"}
    assert verdict.severity == "ERROR"


def test_every_line_that_landed_was_read(settings: Settings, store: DeltaStore) -> None:
    land(settings, {DAY: ["a 2020-01-01 1", "", "b 2020-01-01 2"], SECOND: ["c 2020-01-02 3"]})
    landed = store.landing.landed(SENSORS)
    marks = {day: {"feed:sensors": {n: f.mark() for n, f in landed[day].items()}} for day in (DAY, SECOND)}
    record(store, readings, DAY, rows_in=2, rows_out=2, inputs=marks[DAY])
    record(store, readings, SECOND, inputs=marks[SECOND])

    verdict = Inspection(readings, store, settings).row_count()

    assert verdict.failing == {SECOND: "1 lines landed, 0 here"}
    assert verdict.facts["compared_with_upstream"] == 2


def test_files_of_bronze_that_changed_in_place_are_a_warning_that_names_the_day(
    settings: Settings, store: DeltaStore
) -> None:
    write(store, readings, [line(1, DAY, DAY), line(2, DAY, DAY), line(1, SECOND, SECOND)])
    record(store, readings, DAY, rows_in=4, rows_out=2, duplicates=2, disagreeing=2, inputs={})
    record(store, readings, SECOND, rows_in=1, rows_out=1, inputs={})

    verdict = Inspection(readings, store, settings).row_count()

    assert verdict.failing == {DAY: "2 rows of landed files differ from those that are kept"}
    assert (verdict.severity, verdict.facts["disagreeing"]) == ("WARN", 2)
    assert verdict.summary == "rows of landed files differ from those that are kept"
    write(store, readings, [line(1, THIRD, THIRD)])
    assert Inspection(readings, store, settings).row_count().severity == "ERROR", "a row that nobody computed"


def test_the_files_that_changed_in_place_are_named_the_first_of_them(settings: Settings, store: DeltaStore) -> None:
    """One that holds again what it held at first has not changed, and one that could not be read says nothing."""
    read: list[dict[str, str | None]] = [
        {"a": "1", "b": "1", "mended": "1", "broken": "", "new": None},
        {"a": "1", "b": "2", "mended": "2", "broken": "1", "new": "1"},
        {"a": "1", "b": "3", "mended": "1", "broken": "1", "new": "1"},
    ]
    for held in read:
        marks = {f"{name}.txt": [9, 0, content] for name, content in held.items() if content is not None}
        record(store, readings, DAY, duplicates=2, disagreeing=2, rows_in=2, inputs={"feed:sensors": marks})
    for content in ("1", "2"):
        marks = {f"{name}.txt": [9, 0, content] for name in "abcde"}
        record(store, readings, SECOND, duplicates=5, disagreeing=5, rows_in=5, inputs={"feed:sensors": marks})

    differ = "rows of landed files differ from those that are kept; changed in place"
    found = Inspection(readings, store, settings).row_count().failing
    assert found == {
        DAY: f"2 {differ}: b.txt",
        SECOND: f"5 {differ}: a.txt, b.txt, c.txt and 2 more",
    }


def test_lines_that_landed_after_the_day_was_read_are_not_missed(settings: Settings, store: DeltaStore) -> None:
    record(store, readings, DAY, inputs={"feed:sensors": "what landed before"})
    land(settings, {DAY: ["a 2020-01-01 1"]})

    assert Inspection(readings, store, settings).row_count().facts["compared_with_upstream"] == 0


@pytest.mark.parametrize(("read", "failing"), [(None, {}), (0, {None: "2 rows in bronze.reference_planes, 1 here"})])
def test_a_table_without_days_has_read_every_row_unless_it_was_computed_before(
    settings: Settings, store: DeltaStore, read: int | None, failing: dict[None, str]
) -> None:
    write(store, reference_planes, [line(1, DAY, DAY), line(2, DAY, DAY)])
    record(store, aircraft, None, rows_in=1, rows_out=1, inputs={"bronze.reference_planes": read})

    assert Inspection(aircraft, store, settings).row_count().failing == failing


def test_of_a_large_table_only_the_days_of_the_run_are_compared(
    settings: Settings, store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SCAN_WHOLE_UP_TO_ROWS", 2)
    write(store, readings, [line(1, DAY, DAY), line(1, SECOND, SECOND)])
    record(store, measurements, DAY, rows_in=2, rows_out=2)
    record(store, measurements, SECOND, rows_in=1, rows_out=1)

    assert not Inspection(measurements, store, settings, Days.of(DAY)).row_count().passed
    assert Inspection(measurements, store, settings, Days.of(SECOND)).row_count().passed


def flight(day: date, number: int) -> dict[str, Any]:
    """A departure, or a flight: the columns that both have; the others hold what is not looked at."""
    filler: dict[Any, Any] = {pa.string(): "AAA", pa.bool_(): True, pa.date32(): day, pa.int32(): 0, pa.int64(): 0}
    fields = {field.name: field for table in (departures, flights) for field in table.contract.arrow_schema}
    row = {name: filler.get(field.type) for name, field in fields.items()}
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    times = {name: noon for name, field in fields.items() if pa.types.is_timestamp(field.type)}
    return {**row, **times, "flight": number}


@pytest.mark.parametrize("lost", [0, 1])
def test_a_table_with_a_row_for_each_key_of_an_input_has_them_all(
    settings: Settings, store: DeltaStore, lost: int
) -> None:
    write(store, departures, [flight(DAY, 1), flight(DAY, 2), flight(DAY, 3), flight(SECOND, 1)])
    write(store, flights, [flight(DAY, number) for number in (1, 2, 3)])
    record(store, flights, DAY, rows_in=3 - lost, rows_out=2 - lost, rejected=1, inputs={"silver.departures": 0})

    verdict = Inspection(flights, store, settings).row_count()

    assert verdict.failing == ({DAY: "3 keys in silver.departures, 1 here"} if lost else {})
    assert verdict.facts["compared_with_upstream"] == 1


def test_what_a_table_counts_is_as_many_as_its_input_has(settings: Settings, store: DeltaStore) -> None:
    write(store, departures, [flight(DAY, 1), flight(DAY, 2), flight(SECOND, 1)])
    hours = [hour(DAY, 5, departures=1), hour(DAY, 6, departures=1), hour(SECOND, 5, departures=2)]
    write(store, hourly_airport_performance, hours)
    for day, rows in ((DAY, 2), (SECOND, 1)):
        inputs = {"silver.departures": 0, "silver.arrivals": None}
        record(store, hourly_airport_performance, day, rows_in=rows, rows_out=rows, inputs=inputs)

    verdict = Inspection(hourly_airport_performance, store, settings).row_count()

    assert verdict.failing == {SECOND: "1 rows in silver.departures for departures, 2 here"}


def hour(day: date, number: int, **counts: int) -> dict[str, Any]:
    names = hourly_airport_performance.contract.stored_names
    hour_at = datetime(day.year, day.month, day.day, number, tzinfo=UTC)
    return {**dict.fromkeys(names, 0), "airport": "JFK", "hour_at": hour_at, "hour_on": day, **counts}


def test_rows_that_are_neither_written_nor_rejected_nor_duplicates_are_lost(
    settings: Settings, store: DeltaStore
) -> None:
    record(store, by_name("daily_totals"), DAY, rows_in=5, rows_out=2, rejected=1, duplicates=1)

    verdict = Inspection(by_name("daily_totals"), store, settings).row_count()

    assert verdict.failing == {DAY: "5 rows read, 4 accounted for"}


def test_a_table_is_late_until_its_newest_due_day_is_computed(settings: Settings, store: DeltaStore) -> None:
    write(store, readings, [line(1, day, day) for day in Days.between(DAY, date(2020, 1, 4))])
    record(store, measurements, THIRD)
    late = Inspection(measurements, store, settings).fresh()
    record(store, measurements, DAY)  # an old day, computed later

    why = "silver.measurements of 2020-01-04: never computed"
    assert late.failing == {date(2020, 1, 4): f"late: 2020-01-04 is missing for 6 h: {why}"}
    assert Inspection(measurements, store, settings).fresh().failing == late.failing

    record(store, measurements, date(2020, 1, 4))
    assert Inspection(measurements, store, settings).fresh().passed


def test_a_day_that_was_refused_does_not_make_a_table_fresh(settings: Settings, store: DeltaStore) -> None:
    write(store, readings, [line(1, date(2020, 1, 4), date(2020, 1, 4))])
    record(store, measurements, date(2020, 1, 4), rows_in=1, rejected=1, outcome="failed")

    assert (
        "silver.measurements of 2020-01-04: broke the contract"
        in Inspection(measurements, store, settings).fresh().summary
    )


def test_a_table_without_days_is_late_when_it_has_not_read_what_is_due(settings: Settings, store: DeltaStore) -> None:
    write(store, readings, [line(1, day, day) for day in (DAY, date(2020, 1, 4))])
    record(store, known_sensors, None, inputs={"bronze.readings": 0})
    assert Inspection(known_sensors, store, settings).fresh().passed

    write(store, readings, [line(1, date(2020, 1, 5), date(2020, 1, 5))])  # due tomorrow
    assert Inspection(known_sensors, store, settings).fresh().passed

    write(store, readings, [line(2, SECOND, SECOND)])
    verdict = Inspection(known_sensors, store, settings).fresh()
    assert verdict.failing == {
        None: "late: bronze.readings changed in version 2, which silver.known_sensors has not read"
    }


def test_a_data_file_that_is_gone_is_a_red_check_with_the_command_that_mends_it(
    settings: Settings, store: DeltaStore
) -> None:
    write(store, measurements, [measured("a", DAY), measured("a", SECOND)])
    (gone,) = Path(store.path(measurements)).glob(f"measured_on={SECOND}/*.parquet")
    gone.unlink()

    verdict = Inspection(measurements, store, settings).judge("key_unique")

    path = f"measured_on={SECOND}/{gone.name}"
    assert verdict.failing == {
        SECOND: f"1 data files of silver.measurements are gone, like {path}: "
        "lakehouse refresh silver.measurements --days 2020-01-02"
    }


def test_a_damaged_log_is_a_red_check_that_names_the_file(settings: Settings, store: DeltaStore) -> None:
    write(store, measurements, [measured("a", DAY)])
    commit = next(Path(store.path(measurements), "_delta_log").glob("*.json"))
    commit.write_bytes(commit.read_bytes()[:100])

    verdict = Inspection(measurements, store, settings).judge("key_unique")

    assert not verdict.passed
    assert str(commit) in verdict.summary
