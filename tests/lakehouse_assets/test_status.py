"""What `lakehouse status` says of days and streams; tables, ledger and statuses written out here, no JVM."""

from __future__ import annotations

import getpass
import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from lake.batch.survey import TableState
from lake.commands.look import Look
from lake.commands.status import Ownership, print_status, read_ownership
from lake.declare.days import Days
from lake.declare.topic_source import Place
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.ownership.passed_over import PassedOver
from lake.project.automation import switch_automation
from lake.project.environment import Environment, open_environment
from lake.project.settings import Settings
from lake.stream.progress import StreamStatus
from lake.write.enforce import NOTHING_DROPPED
from lakehouse_assets.feeds.weather import weather
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from tests.recorded import hold, record
from tests.streaming import FOLLOWED

D1, D2, D3, D4, D5, D6 = (date(2013, 1, day) for day in range(1, 7))
NAMES = frozenset(table.full_name for table in FOLLOWED)
STEP = "; next: lakehouse follow, or lakehouse up --streams (docs/runbook.md, 'Streams: stalled, dead, behind')"
OPEN = Frontier(D1, D5, claimed=NAMES, generations=dict.fromkeys(NAMES, 1))


def entry(day: date) -> Entry:
    counts: dict[str, Any] = {"rows_in": 2, "rows_out": 2, "rejected": 0, "duplicates": 0}
    return Entry(departures.full_name, day, "written", inputs={}, version=0, code_version="x", seconds=1.0, **counts)


def state(table: Any = departures, **reasons: Any) -> TableState:
    return TableState(table, {day: entry(day) for day in (D1, D2, D4)}, **reasons)


def test_a_sealed_day_is_settled_once_batch_has_computed_it_from_all_that_its_inputs_hold() -> None:
    found = read_ownership(state(missing={D3: "never computed"}, stale={D2: "bronze changed in version 9"}), OPEN)

    assert found == Ownership(
        settled=(Days.of(D1), Days.of(D4)),
        sealed={D3: "batch has not computed it yet", D2: "bronze changed in version 9"},
        open=D5,
    )


@pytest.mark.parametrize(("table", "first"), [(departures, D5), (flights, D3), (daily_carrier_performance, D3)])
def test_a_table_is_open_as_far_back_as_the_days_that_it_is_computed_from(table: Any, first: date) -> None:
    assert read_ownership(TableState(table, {}), OPEN).open == first


@pytest.mark.parametrize("frontier", [None, Frontier(D1, D5, generations={departures.full_name: 1})])
def test_without_a_claim_batch_owns_every_day(frontier: Frontier | None) -> None:
    found = read_ownership(state(), frontier)

    assert (found.open, found.settled) == (None, (Days.between(D1, D2), Days.of(D4)))


Shown = Callable[..., list[str]]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_NOW": "2013-01-06T00:00:00Z"}
    return open_environment(Settings.from_env(env))


@pytest.fixture
def shown(environment: Environment) -> Shown:
    def run(*, verbose: bool = False) -> list[str]:
        out = io.StringIO()
        print_status(Console(file=out, width=240), Look(environment, ["silver.departures"]), verbose=verbose)
        return [" ".join(line.split()) for line in out.getvalue().splitlines()]

    return run


def say(environment: Environment, name: str, **said: Any) -> None:
    folder = environment.settings.home / "streams"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(asdict(StreamStatus(name, **said))))


def test_days_of_an_older_code_are_told_with_the_command_that_computes_them_again(
    environment: Environment, shown: Shown
) -> None:
    hold(environment.store, departures, [D1, D2, D3])
    record(environment.store, departures, [D1, D2], code_version="older")
    record(environment.store, departures, [D3], code_version=departures.code_version)

    assert (
        "silver.departures: computed by older code: 2013-01-01..2013-01-02; "
        "next: lakehouse refresh silver.departures --changed-code"
    ) in shown()


def test_a_lake_without_streams_says_nothing_about_them(shown: Shown) -> None:
    assert not [line for line in shown(verbose=True)[1:] if "stream" in line or "sealed" in line]


def test_streams_are_shown_with_lag_watermark_speed_and_their_last_error(
    environment: Environment, shown: Shown
) -> None:
    FrontierTable(environment.store).change(lambda _: OPEN, "test")
    say(
        environment, "silver.departures", state="stopped", seen_at=datetime.now(UTC).isoformat(), lag_messages=12,
        lag_seconds=3.5, rows_per_second=80.0, watermark="2013-01-05T21:00:00.000Z",
    )  # fmt: skip
    say(environment, "silver.flights", state="failed", last_error="StreamBroken: a file is gone\nat org.apache")

    lines = shown()

    assert "silver.departures stopped 2013-01-05 2013-01-05T21:00:00.000Z 12 3.5 80.0" in lines
    assert "silver.flights failed 2013-01-03 - - - 0.0" in lines
    assert f"silver.flights is stalled: failed: StreamBroken: a file is gone{STEP}" in lines
    assert "silver.departures - - from 2013-01-05 on" in lines


def test_a_stream_whose_process_has_gone_is_not_shown_as_running(environment: Environment, shown: Shown) -> None:
    FrontierTable(environment.store).change(lambda _: OPEN, "test")
    long_ago = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    say(environment, "silver.departures", pid=7, seen_at=long_ago)

    lines = shown()

    assert "silver.departures dead 2013-01-05 - - - 0.0" in lines
    assert f"silver.departures is stalled: dead: its process 7 has gone without ending it{STEP}" in lines


def test_days_on_which_duplicates_disagree_are_named(environment: Environment, shown: Shown) -> None:
    Ledger(environment.store).record([replace(entry(D1), disagreeing=2), entry(D2), replace(entry(D4), disagreeing=1)])

    said = [line for line in shown() if "disagree" in line]

    days = "2013-01-01, 2013-01-04"
    assert said == [
        f"silver.departures: 3 duplicates disagree with the row that is kept: {days}; see docs/late-data.md"
    ]


def test_days_whose_files_are_gone_are_named_as_archived(environment: Environment) -> None:
    store, table = environment.store, environment.table("bronze.weather_files")
    left = environment.settings.landing.folder(weather, D4)
    left.mkdir(parents=True)
    (left / "b.csv").touch()
    files = {"a.csv": [1, 1, "0"], "b.csv": store.landing.files(weather, D4)["b.csv"].mark()}
    hold(store, table, [D1, D2, D4])
    record(store, table, [D1, D2, D4], version=1, inputs={"feed:weather": files})
    out = io.StringIO()

    health = print_status(Console(file=out, width=240), Look(environment, [table.full_name]), verbose=False)

    assert [line for line in out.getvalue().splitlines() if "files gone" in line] == [
        "bronze.weather_files: archived: files gone: 2013-01-01..2013-01-02",
        "bronze.weather_files: archived: some files gone: 2013-01-04",
    ]
    assert health.is_readable


def test_verbose_says_why_a_sealed_day_is_not_settled_and_when_an_open_one_ends(
    environment: Environment, shown: Shown
) -> None:
    FrontierTable(environment.store).change(lambda _: OPEN, "test")
    Ledger(environment.store).record([entry(day) for day in (D1, D2, D4)])

    lines = shown(verbose=True)

    # The ledger speaks of days that the table, which does not exist, cannot hold.
    (why,) = (line for line in lines if "not settled:" in line)
    assert why == (
        "silver.departures: sealed 2013-01-01..2013-01-02, 2013-01-04, not settled: "
        "the table was made anew and does not hold it"
    )
    assert "silver.departures: newest event - (lateness 3 h); the slowest feed decides" in lines


@pytest.mark.parametrize("kept", [replace(OPEN, first_open=date(2023, 1, 7)), replace(OPEN, closing=date(2023, 1, 6))])
def test_days_that_are_sealed_before_they_have_come_are_told_with_the_command_that_opens_them(
    environment: Environment, shown: Shown, kept: Frontier
) -> None:
    FrontierTable(environment.store).change(lambda _: kept, "test")

    (told,) = (line for line in shown() if "ahead of the clock" in line)

    assert "and it is 2013-01-06; no stream writes them" in told
    assert "lakehouse follow --reopen 2013-01-06" in told


def test_a_frontier_that_is_where_the_clock_is_is_no_reason_to_warn(environment: Environment, shown: Shown) -> None:
    FrontierTable(environment.store).change(lambda _: replace(OPEN, first_open=D6), "test")

    assert not [line for line in shown() if "ahead of the clock" in line]


def test_messages_that_were_passed_over_are_listed_with_who_did_it(environment: Environment, shown: Shown) -> None:
    FrontierTable(environment.store).change(lambda _: OPEN, "test")
    PassedOver(environment.store).add(Place("departures", 0, 4), 1_357_041_600_000_000_000, "k", "{}")

    (told,) = (line for line in shown() if "passed over" in line)

    assert told.startswith("passed over: departures:0:4, timestamp 1357041600000000000, on 20")
    assert f" by {getpass.getuser()}@" in told


def test_files_that_a_stream_cannot_read_are_counted_and_named_with_what_to_do(
    environment: Environment, shown: Shown
) -> None:
    FrontierTable(environment.store).change(lambda _: OPEN, "test")
    files = {f"/landing/departures/{name}.gz": "Unexpected end" for name in "abcd"}
    say(environment, "bronze.departure_events", state="stopped", unread_files=files)

    (line,) = [line for line in shown() if "goes on without" in line]

    assert line == (
        "bronze.departure_events goes on without 4 files that cannot be read: "
        "/landing/departures/a.gz (Unexpected end), /landing/departures/b.gz (Unexpected end), "
        "/landing/departures/c.gz (Unexpected end) and 1 more; send them again or mend them, then start lakehouse "
        "follow again: it reads all anew (docs/runbook-streams.md, 'A file cannot be read')"
    )


# What streams wrote


@pytest.fixture
def from_kafka(tmp_path: Path) -> Environment:
    """A lake whose topics come from Kafka alone: nothing lands, and batch has computed no day."""
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_NOW": "2013-01-06T00:00:00Z", "LAKEHOUSE_FEED": "kafka"}
    return open_environment(Settings.from_env(env))


def lines_of(environment: Environment, *names: str) -> list[str]:
    out = io.StringIO()
    print_status(Console(file=out, width=10_000), Look(environment, names), verbose=False)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_what_runs_by_itself_is_said_and_what_switches_it(environment: Environment) -> None:
    off = "nothing runs by itself, but for what was switched on in the UI; "
    off += "lakehouse up --auto switches on daily, reconcile and maintain"
    on = "runs by itself with lakehouse up: daily, reconcile, maintain, {}; lakehouse up --no-auto takes it back"
    told = replace(environment, settings=replace(environment.settings, alert_urls=("json://alerts.example",)))

    switch_automation(environment.settings, on=True)
    shown = [lines_of(environment, departures.full_name), lines_of(told, departures.full_name)]
    switch_automation(environment.settings, on=False)
    shown.append(lines_of(environment, departures.full_name))

    expected = [on.format("no alerts (LAKEHOUSE_ALERT_URLS is not set)"), on.format("alerts"), off]
    assert [[line for line in lines if "by itself" in line] for lines in shown] == [[line] for line in expected]


def test_what_only_streams_wrote_is_counted(from_kafka: Environment) -> None:
    FrontierTable(from_kafka.store).change(lambda _: OPEN, "test")
    hold(from_kafka.store, departures, [D4, D5], rows=7)
    schema = NOTHING_DROPPED.rejected.schema
    rejected = {name: {"day": D5, "rules": ["carrier"], "row": "{}"}.get(name) for name in schema.names}
    from_kafka.store.store_quarantine(departures, pa.Table.from_pylist([rejected], schema=schema), None)

    lines = lines_of(from_kafka)

    assert [line for line in lines if line.startswith("silver.departures 2013-01-05 2 14 1 ")]
    assert not [line for line in lines if "nothing has landed" in line]


def test_days_that_batch_computed_and_days_of_streams_are_counted_once(environment: Environment) -> None:
    FrontierTable(environment.store).change(lambda _: OPEN, "test")
    hold(environment.store, departures, [D1, D2, D5], rows=3)
    record(environment.store, departures, [D1, D2, D3], rows=3)

    (line,) = [line for line in lines_of(environment) if line.startswith("silver.departures 2013")]

    assert line.startswith("silver.departures 2013-01-05 4 9 0 "), "the third day was computed, and holds no row"


def test_an_empty_lake_that_reads_kafka_is_told_to_follow(from_kafka: Environment) -> None:
    assert "nothing has landed yet; next: lakehouse follow reads Kafka" in lines_of(from_kafka)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"lag_messages": 3, "lag_seconds": 2.0, "newest_event_at": "2013-01-05T23:00:00+00:00"}, "3 3600.0"),
        ({"lag_messages": 0, "lag_seconds": 2.0, "newest_event_at": "2013-01-05T23:00:00+00:00"}, "0 2.0"),
        ({"lag_messages": 0, "lag_seconds": -2.0, "newest_event_at": "2013-01-06T00:00:02+00:00"}, "0 0.0"),
        ({"lag_messages": 1, "lag_seconds": -2.0, "newest_event_at": "2013-01-06T00:00:02+00:00"}, "1 0.0"),
        ({"lag_messages": None, "lag_seconds": None}, "- -"),
    ],
)  # fmt: skip
def test_a_lag_grows_while_messages_wait_and_is_never_negative(
    from_kafka: Environment, said: dict[str, Any], shown: str
) -> None:
    FrontierTable(from_kafka.store).change(lambda _: OPEN, "test")
    say(from_kafka, "bronze.departure_events", state="running", **said)

    (line,) = [
        line
        for line in lines_of(from_kafka)
        if line.startswith("bronze.departure_events") and "0.0" in line.split()[-1]
    ]

    assert line.endswith(f"- {shown} 0.0")


def test_what_is_wrong_comes_first_and_each_line_ends_with_the_next_step(environment: Environment) -> None:
    hold(environment.store, departures, [D1])
    record(environment.store, departures, [D1], code_version=departures.code_version)
    FrontierTable(environment.store).change(lambda _: OPEN, "test")
    say(environment, "silver.departures", state="failed", last_error="StreamBroken")

    lines = lines_of(environment)

    table = next(number for number, line in enumerate(lines) if line.startswith("table newest day"))
    assert [line for line in lines[1:table] if "; next: lakehouse " not in line] == []
    assert any(line.startswith("silver.departures is stalled") for line in lines[1:table])
    assert any(" late: " in line for line in lines[1:table])
    assert not any("next: lakehouse" in line for line in lines[table:])


def test_a_table_that_is_late_since_nothing_landed_is_told_with_its_feed(environment: Environment) -> None:
    late = [line for line in lines_of(environment, "bronze.weather_files", "silver.weather") if " are late: " in line]

    assert late == [
        "bronze.weather_files, silver.weather are late: weather missed 2013-01-04; "
        "next: lakehouse describe weather shows what has landed; lakehouse land weather FILE lands more"
    ]
