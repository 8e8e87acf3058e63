"""The dashboard in a real browser: each page, the keyboard, a phone, and rows that come while somebody looks.

The lake is a small one that this test fills, without Spark. With SCREENSHOTS the pictures in docs/images are renewed,
from a lake of real flights: ten days of batch, and one that streams own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from airline.replay import replay
from lake.declare.days import Days
from lake.engine.ports import free_ports
from lake.ownership.frontier import Frontier, FrontierTable
from lake.stream.progress import StreamStatus, write_status
from lake.write.store import DeltaStore
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.flights import flights
from tests.browser.conftest import ARGUMENTS, BROWSERS, IMAGES, LAKEHOUSE, PROJECT
from tests.lake.serve.api.readings import Row, compute, fill
from tests.lakes import without_spark

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

DAYS = [date(2013, 1, 1) + timedelta(days=number) for number in range(14)]
OPEN = DAYS[-1] + timedelta(days=1)
PAGES = ["operations", "airports", "carriers", "flight", "network", "routes", "quality", "tables"]
LAST = dict.fromkeys(PAGES, "computed from|open: early, as") | {
    "operations": "Lag of the streams",
    "quality": "in quarantine",
    "tables": "was never written",  # the first of them
}
"""What is drawn last on each page."""
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def hour(day: date, airport: str, number: int) -> Row:
    at = datetime(day.year, day.month, day.day, number, tzinfo=UTC)
    departures = 8 + (number * 7 + day.day) % 9
    on_time = departures - (number + day.day) % 6
    delays = {"departure_delay_minutes": 11 * departures, "arrival_delay_minutes": 4 * departures + day.day}
    return {
        "airport": airport,
        "hour_at": at,
        "hour_on": day,
        "departures": departures,
        "departures_on_time": on_time,
        "arrivals": departures - 1,
        "arrivals_on_time": on_time - 1,
        "worst_delay_minutes": 30 + number * 5,
        **delays,
    }


def hours(day: date, until: int = 24) -> list[Row]:
    return [hour(day, airport, number) for airport in ("EWR", "JFK", "LGA") for number in range(10, until)]


def some_flights(day: date) -> list[Row]:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return [
        {
            "flight_date": day,
            "carrier": carrier,
            "flight": 100 + number,
            "origin": "EWR",
            "dest": dest,
            "scheduled_departure_at": noon,
            "departed_at": noon + timedelta(minutes=number),
            "departed_on": day,
            "departure_delay_minutes": number,
            "has_arrived": True,
            "arrival_delay_minutes": number - 2,
            "is_weather_known": False,
            "is_aircraft_known": False,
            "is_destination_known": True,
            "arrived_at": noon + timedelta(hours=3),
            "tail_number": "N14228",
        }
        for carrier in ("UA", "B6")
        for number, dest in enumerate(("IAH", "ORD", "SFO", "BOS", "MIA", "ATL"))
    ]


def carrier_day(day: date, carrier: str, late: int) -> Row:
    counts = {"scheduled": 60, "flown": 58, "cancelled": 2, "diverted": 0, "arrivals_on_time": 58 - late}
    delays = {"departure_delay_minutes": 40 * late, "arrival_delay_minutes": 30 * late}
    return {"flight_date": day, "carrier": carrier, "origin": "EWR", **counts, **delays}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DeltaStore:
    store = without_spark(tmp_path_factory.mktemp("dashboard"))
    compute(store, hourly_airport_performance, DAYS, [row for day in DAYS for row in hours(day)])
    fill(store, hourly_airport_performance, [OPEN], hours(OPEN, 16))
    compute(store, flights, DAYS, [row for day in DAYS for row in some_flights(day)])
    late = {"UA": 9, "B6": 14, "DL": 5, "AA": 11, "EV": 21}
    compute(store, daily_carrier_performance, DAYS, [carrier_day(d, c, n) for d in DAYS for c, n in late.items()])
    name = hourly_airport_performance.full_name
    FrontierTable(store).change(
        lambda _: Frontier(DAYS[0], OPEN, claimed=frozenset([name]), generations={name: 1}), "test"
    )
    folder = Path(store.tables).parent / "streams"
    folder.mkdir()
    write_status(folder, StreamStatus(name, state="stopped"))
    return store


@pytest.fixture(scope="module")
def address(store: DeltaStore) -> Iterator[str]:
    """A dashboard over the lake, on a free port of this machine."""
    with dashboard_of(Path(store.tables).parent, LAKEHOUSE_NOW="2013-01-15T16:30:00Z") as url:
        yield url


@contextmanager
def dashboard_of(home: Path, **settings: str) -> Iterator[str]:
    port = free_ports(1)[0]
    env = {**os.environ, "LAKEHOUSE_HOME": str(home), "PYTHONPATH": str(PROJECT), **settings}
    command = [*LAKEHOUSE, "dashboard", "--port", str(port)]
    with (home / "dashboard.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=PROJECT)
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, home / "dashboard.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            with urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, ConnectionError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.skip(f"no browser here ({', '.join(BROWSERS)}); make test-ui says how to get one")
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


def open_page(browser: Browser, address: str, name: str, size: Any) -> Page:
    tab = browser.new_page(viewport=size)
    tab.set_default_timeout(60_000)
    tab.goto(f"{address}/{'' if name == 'operations' else name}")
    expect(tab.locator("h1").first).to_be_visible()
    expect(tab.get_by_text(re.compile(LAST[name])).last).to_be_attached()
    expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(tab.get_by_test_id("stSkeleton")).to_have_count(0)
    return tab


def picture(tab: Page, folder: Path, name: str) -> None:
    tab.wait_for_timeout(500)  # charts are drawn after their places are there
    tab.screenshot(path=folder / f"{name}.png")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_exception_and_fits_a_phone(browser: Browser, address: str, name: str, tmp_path: Path) -> None:
    for kind, size in (("", DESKTOP), ("-phone", PHONE)):
        tab = open_page(browser, address, name, size)
        expect(tab.get_by_test_id("stException")).to_have_count(0)
        picture(tab, tmp_path, f"{name}{kind}")
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
        tab.close()


@pytest.mark.parametrize("name", PAGES)
def test_everything_on_a_page_is_reached_by_the_tab_key_and_seen(browser: Browser, address: str, name: str) -> None:
    tab = open_page(browser, address, name, DESKTOP)
    controls = tab.locator(
        "[data-testid=stSidebarNavLink], [data-testid=stMain] input, [data-testid=stMain] [role=slider]"
    )
    wanted, reached = controls.count(), set[int]()
    for _ in range(80):
        tab.keyboard.press("Tab")
        found = tab.evaluate(FOCUSED, CONTROLS)
        if found["place"] >= 0:
            reached.add(found["place"])
            assert found["is_seen"], found
        if len(reached) == wanted:
            break
    assert len(reached) == wanted, f"{len(reached)} of {wanted}"
    assert wanted >= len(PAGES)
    tab.close()


# The field of a date has parts that are reached one by one, and beside them an input that nobody sees.
CONTROLS = (
    "[data-testid=stSidebarNavLink], [data-testid=stMain] :not([data-testid=stDateInput] *):is(input), "
    "[data-testid=stMain] [role=spinbutton], [data-testid=stMain] [role=slider]"
)
FOCUSED = """controls => {
    const all = [...document.querySelectorAll(controls)];
    const at = document.activeElement;
    const ringed = [at, at.parentElement, at.closest("[data-focus-visible=true]")];
    const is_seen = ringed.some(one => {
        const style = one ? getComputedStyle(one) : null;
        const isCut = one && getComputedStyle(one.parentElement).overflowX === "hidden";
        return style && !isCut && parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== "none";
    });
    return {place: all.indexOf(at), is_seen, what: at.outerHTML.slice(0, 200)};
}"""


def test_pages_are_changed_by_the_keyboard_alone(browser: Browser, address: str) -> None:
    tab = open_page(browser, address, "airports", DESKTOP)
    tab.get_by_label("airport, the busiest first").focus()
    tab.keyboard.type("LGA")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("Worst destinations from LGA")).to_be_visible()
    tab.get_by_role("link", name="Carriers").focus()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Carriers")).to_be_visible()
    tab.close()


def test_rows_that_come_are_shown_without_a_reload(browser: Browser, address: str, store: DeltaStore) -> None:
    tab = open_page(browser, address, "network", DESKTOP)
    expect(tab.get_by_text(re.compile("newest hour, 15 Jan 2013, 15:00 UTC"))).to_be_visible()
    tab.evaluate("window.isTheSamePage = true")
    fill(store, hourly_airport_performance, [OPEN], hours(OPEN, 18))

    expect(tab.get_by_text(re.compile("newest hour, 15 Jan 2013, 17:00 UTC"))).to_be_visible()
    assert tab.evaluate("window.isTheSamePage") is True
    tab.close()


@pytest.mark.timeout(1500)
@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="pictures are renewed where SCREENSHOTS is set")
def test_pictures_of_the_docs_are_of_real_flights(browser: Browser, tmp_path: Path) -> None:
    replay(tmp_path / "landing", Days.parse("2012-12-31..2013-01-10"), malformed=0.002, seed=1)
    env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_SPARK_MASTER": "local[2]"}
    for command in (
        ["refresh", "--days", "2012-12-31..2013-01-09"],
        ["follow", "--since", "2013-01-10", "--until-idle"],
    ):
        subprocess.run([*LAKEHOUSE, *command], env=env, cwd=PROJECT, check=True)
    with dashboard_of(tmp_path) as url:
        take_pictures(browser, url)


def take_pictures(browser: Browser, url: str) -> None:
    for name in ("network", "airports", "flight", "operations", "quality"):
        tab = open_page(browser, url, name, DESKTOP)
        if name == "quality":
            tab.get_by_label("table", exact=True).focus()
            tab.keyboard.type("silver.departures")
            tab.keyboard.press("Enter")
            expect(tab.get_by_text("rows that were not kept")).to_be_visible()
        height = tab.get_by_test_id("stMainBlockContainer").evaluate("one => one.scrollHeight")
        tab.set_viewport_size({"width": DESKTOP["width"], "height": min(height, 1400)})
        tab.wait_for_timeout(1500)  # charts are drawn anew
        tab.screenshot(path=IMAGES / f"dashboard-{name}.png")
        tab.close()
