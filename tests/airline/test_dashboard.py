"""The airline's pages of the dashboard, and all pages as the script of Streamlit shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from airline.dashboard.airports import delays_by_day, worst_destinations
from airline.dashboard.network import EARLY, SETTLED, departures_by_hour, settled_until
from lake.declare.table import Table
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.schedules import schedules
from tests.lake.serve.api.readings import Row, compute, fill
from tests.lakes import without_spark

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
D1, D2 = date(2013, 1, 1), date(2013, 1, 2)


def hour(day: date, airport: str, number: int, departures: int, on_time: int) -> Row:
    at = datetime(day.year, day.month, day.day, number, tzinfo=UTC)
    counts = {"departures": departures, "departures_on_time": on_time, "arrivals": 1, "arrivals_on_time": 1}
    delays = {"departure_delay_minutes": 9, "arrival_delay_minutes": 0, "worst_delay_minutes": 90}
    return {"airport": airport, "hour_at": at, "hour_on": day, **counts, **delays}


HOURS = [hour(D1, "JFK", 10, 5, 3), hour(D1, "LGA", 10, 2, 2), hour(D2, "JFK", 11, 7, 7)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeltaStore]:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-01-20T00:00:00Z")
    monkeypatch.chdir(ROOT)
    yield without_spark(tmp_path)
    st.cache_data.clear()
    st.cache_resource.clear()


MODULES = {
    "network": "network",
    "carriers": "carriers",
    "routes": "carriers",
    "airports": "airports",
    "flight": "flight",
}


def draw(page: str) -> AppTest:
    script = f"from airline.dashboard.{MODULES[page]} import {page}\nfrom lake.dashboard.sight import guarded\n"
    script += f"guarded({page})()"
    drawn = AppTest.from_string(script, default_timeout=120).run()
    assert not drawn.exception, drawn.exception
    return drawn


def test_hours_of_days_that_are_not_settled_are_marked_as_early() -> None:
    shown = departures_by_hour(pd.DataFrame(HOURS), {D1})

    found = [tuple(row) for row in shown[["hour", "kind", "flights", "state"]].itertuples(index=False)]
    assert sorted(found) == [
        ("2013-01-01 10:00 UTC", "late", 2, SETTLED),
        ("2013-01-01 10:00 UTC", "on time", 5, SETTLED),
        ("2013-01-02 11:00 UTC", "late", 0, EARLY),
        ("2013-01-02 11:00 UTC", "on time", 7, EARLY),
    ]


def test_the_line_of_what_is_settled_stands_only_between_hours_that_are_shown() -> None:
    hours = pd.DataFrame(HOURS)

    assert settled_until(hours, D1) == datetime(2013, 1, 2, tzinfo=UTC)
    for through in (None, D1 - timedelta(days=2), D2, D2 + timedelta(days=9)):
        assert settled_until(hours, through) is None, through


def test_the_network_shows_its_newest_hour_and_how_far_it_is_settled(store: DeltaStore) -> None:
    compute(store, hourly_airport_performance, [D1], HOURS[:2])
    fill(store, hourly_airport_performance, [D2], HOURS[2:])
    page = draw("network")

    assert "settled through 2013-01-01" in page.caption[0].value
    assert page.warning[0].value.startswith("late: ")
    assert [(metric.label, metric.value) for metric in page.metric] == [
        ("flights", "8"),
        ("on time", "100%"),
        ("worst delay, minutes", "90"),
    ]
    page.selectbox(key="airport").set_value("LGA").run()
    assert page.metric[0].value == "3"


def test_carriers_are_added_up(store: DeltaStore) -> None:
    counts = {"scheduled": 10, "flown": 8, "cancelled": 2, "diverted": 0, "arrivals_on_time": 6}
    delays = {"departure_delay_minutes": 40, "arrival_delay_minutes": -12}
    rows = [{"flight_date": day, "carrier": "AA", "origin": "EWR", **counts, **delays} for day in (D1, D2)]
    rows.append({**rows[0], "carrier": "UA", "arrivals_on_time": 8})
    compute(store, daily_carrier_performance, [D1, D2], rows)

    page = draw("carriers")

    sums = page.dataframe[0].value
    assert sums[["carrier", "flown", "on time"]].values.tolist() == [["UA", 8, 1.0], ["AA", 16, 0.75]]
    assert page.markdown[0].value == f"Flights of {D1} to {D2}"  # not of weeks before the first


NOON = datetime(2013, 1, 2, 12, 5, tzinfo=UTC)
KEY: Row = {"flight_date": D2, "carrier": "UA", "flight": 1545, "origin": "EWR"}
FLIGHT: Row = {
    **KEY,
    "dest": "IAH",
    "tail_number": "N14228",
    "scheduled_departure_at": NOON,
    "departed_at": NOON.replace(minute=47),
    "departed_on": D2,
    "departure_delay_minutes": 42,
    "has_arrived": False,
    "is_weather_known": False,
    "is_aircraft_known": False,
    "is_destination_known": True,
}


def flights_of(day: date, *delays: int, dest: str = "IAH") -> list[Row]:
    return [
        {
            **FLIGHT,
            "flight_date": day,
            "flight": 1 + n,
            "dest": dest,
            "has_arrived": True,
            "arrival_delay_minutes": delay,
        }
        for n, delay in enumerate(delays)
    ]


def steps(page: AppTest) -> dict[str, Row]:
    rows: list[Any] = page.table[0].value.to_dict("records")
    return {row["table"]: row for row in rows}


def message(number: int) -> Row:
    said = {
        "key": f"2013-01-02|UA|{number}|EWR",
        "value": f'{{"carrier":"UA","flight":"{number}"}}',
        "topic": "departures",
        "partition": 0,
    }
    return {**said, "offset": number, "timestamp": NOON, "landed_on": D2, "event_date": D2}


def test_a_flight_is_told_from_bronze_to_gold(store: DeltaStore) -> None:
    compute(store, flights, [D1, D2], [FLIGHT, {**FLIGHT, "flight": 7}, {**FLIGHT, "flight_date": D1}])
    compute(store, departure_events, [D2], [message(7), message(1545)])
    planned = {"dest": "IAH", "scheduled_departure_at": NOON, "scheduled_arrival_at": NOON.replace(hour=15)}
    compute(store, schedules, [D2], [{**KEY, **planned, "distance_miles": 1400}])
    left = {"departed_at": FLIGHT["departed_at"], "departed_on": D2, "delay_minutes": 42}
    fill(store, departures, [D2], [{**KEY, "dest": "IAH", "scheduled_departure_at": NOON, **left}])
    alert = {"rule": "late_departures", "late_from_minutes": 30, "at_least": 5, "hour_on": D2, "airport": "EWR"}
    compute(store, delay_alerts, [D2], [{**alert, "hour_at": NOON.replace(hour=h, minute=0)} for h in (11, 12)])
    page = draw("flight")
    page.selectbox(key="flight_number").set_value(1545).run()

    assert [(metric.label, metric.value) for metric in page.metric] == [
        ("scheduled", "12:05"),
        ("left", "12:47"),
        ("arrived", "not known"),
        ("aircraft", "N14228"),
    ]
    assert page.metric[1].delta == "42 min late"
    found = steps(page)
    assert found["bronze.departure_events"]["what it says"] == (
        'message departures/0/1545: {"carrier":"UA", "flight":"1545"}'
    )
    assert (found["silver.schedules"]["at"], found["silver.schedules"]["state"]) == ("2013-01-02 12:05:00", "settled")
    assert found["silver.departures"]["state"] == "open: early"
    assert "was never written" in found["gold.flight_delay_scores"]["what it says"]
    assert found["gold.delay_alerts"]["at"] == "2013-01-02 12:00:00"
    assert any("silver.flights computed from nothing at" in one.value for one in page.caption)


def test_a_broken_table_is_one_broken_step_of_a_flight(store: DeltaStore) -> None:
    compute(store, flights, [D2], [FLIGHT])
    compute(store, departures, [D2], [])
    (Path(store.path(departures)) / "_delta_log" / f"{store.version(departures):020d}.json").write_text("{")

    assert steps(draw("flight"))["silver.departures"]["state"] == "broken"


def test_an_airport_shows_its_day_and_its_worst_destinations(store: DeltaStore) -> None:
    compute(store, hourly_airport_performance, [D1], HOURS[:2])
    fill(store, hourly_airport_performance, [D2], HOURS[2:])
    compute(store, flights, [D2], [{**row, "origin": "JFK"} for row in flights_of(D2, 1, 2, 3, 4, 10)])
    page = draw("airports")

    assert page.selectbox(key="airports_airport").options == ["JFK", "LGA"]
    assert page.selectbox(key="airports_day").options == [f"{D2} (open: early)", str(D1)]
    assert [metric.value for metric in page.metric] == ["7", "100%", "1", "90"]
    assert page.dataframe[0].value.to_dict("records") == [
        {"destination": "IAH", "arrivals": 5, "mean delay, minutes": 4.0, "longest delay, minutes": 10.0}
    ]
    page.selectbox(key="airports_day").set_value(D1).run()
    assert [metric.value for metric in page.metric] == ["5", "60%", "1", "90"]


def test_delays_are_means_by_day_and_few_arrivals_give_no_worst_destination() -> None:
    hours = pd.DataFrame([{**row, "departure_delay_minutes": 30} for row in HOURS[:2]])
    found = delays_by_day(hours).values.tolist()
    assert found == [["2013-01-01", "departures", 8.6], ["2013-01-01", "arrivals", 0.0]]

    many = pd.DataFrame(
        flights_of(D1, 5, 6, 7, 8, 9) + flights_of(D1, 90, dest="HNL") + flights_of(D1, *[20] * 5, dest="ORD")
    )
    assert worst_destinations(many)["destination"].tolist() == ["ORD", "IAH"]


@pytest.mark.parametrize("page", list(MODULES))
@pytest.mark.parametrize("state", ["stale", "broken", "empty"])
def test_every_page_says_that_it_is_stale_broken_or_empty(store: DeltaStore, page: str, state: str) -> None:
    tables: dict[str, tuple[Table, list[Row]]] = {
        "network": (hourly_airport_performance, HOURS[:1]),
        "airports": (hourly_airport_performance, HOURS[:1]),
        "carriers": (daily_carrier_performance, []),
        "routes": (flights, flights_of(D1, 5)),
        "flight": (flights, flights_of(D1, 5)),
    }
    table, rows = tables[page]
    compute(store, table, [D1], [] if state == "empty" else rows)
    if state == "broken":
        (Path(store.path(table)) / "_delta_log" / f"{store.version(table):020d}.json").write_text("{")
    drawn = draw(page)

    said = {"stale": drawn.warning, "broken": drawn.error, "empty": drawn.info}[state]
    assert said, state
    assert {"stale": "late: ", "broken": "_delta_log", "empty": "next: lakehouse"}[state] in str(said[0].value)


@pytest.mark.parametrize("page", list(MODULES))
def test_a_page_of_a_table_that_was_never_written_says_so(store: DeltaStore, page: str) -> None:
    assert "was never written; next: lakehouse refresh" in draw(page).info[0].value


def test_the_script_shows_the_pages_of_the_lake_and_of_the_project(store: DeltaStore) -> None:
    page = AppTest.from_file(str(ROOT / "lake" / "dashboard" / "main.py"), default_timeout=120).run()

    assert not page.exception, page.exception
    assert page.title[0].value == "Operations"
    assert page.dataframe[0].value["table"].iloc[0] == "bronze.arrival_events"
