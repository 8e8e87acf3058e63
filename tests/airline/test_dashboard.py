"""The airline's pages of the dashboard, and all pages as the script of Streamlit shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from airline.dashboard import EARLY, SETTLED, departures_by_hour
from lake.write.store import DeltaStore
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from tests.lake.serve.api.readings import Row, compute, fill
from tests.lakes import without_spark

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


def draw(page: str) -> AppTest:
    script = f"from airline import dashboard\nfrom lake.dashboard import sight\nsight.guarded(dashboard.{page})()"
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


def test_the_network_shows_its_newest_hour_and_how_far_it_is_settled(store: DeltaStore) -> None:
    compute(store, hourly_airport_performance, [D1], HOURS[:2])
    fill(store, hourly_airport_performance, [D2], HOURS[2:])
    page = draw("network")

    assert "settled through 2013-01-01" in page.caption[0].value
    assert "stale: late" in page.warning[0].value
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
    rows = [{"flight_date": day, "carrier": "UA", "origin": "EWR", **counts, **delays} for day in (D1, D2)]
    compute(store, daily_carrier_performance, [D1, D2], rows)

    sums = draw("carriers").dataframe[0].value

    assert sums[["carrier", "flown", "on time"]].values.tolist() == [["UA", 16, 0.75]]


@pytest.mark.parametrize("page", ["network", "carriers", "routes"])
def test_a_page_of_a_table_that_was_never_written_says_so(store: DeltaStore, page: str) -> None:
    assert "was never written; next: lakehouse refresh" in draw(page).info[0].value


def test_the_script_shows_the_pages_of_the_lake_and_of_the_project(store: DeltaStore) -> None:
    page = AppTest.from_file(str(ROOT / "lake" / "dashboard" / "main.py"), default_timeout=120).run()

    assert not page.exception, page.exception
    assert page.title[0].value == "Operations"
    assert page.dataframe[0].value["table"].iloc[0] == "bronze.arrival_events"
