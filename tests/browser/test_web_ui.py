"""What a person does in the web UI, by clicks: look at the graph, compute a day, backfill five, read the checks.

The tests go on from one another, in this order, on one lake.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from airline.replay.landing import LandingFolder
from tests.browser.conftest import WebUI, picture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

A_RUN_TAKES_AT_MOST = 240_000
SILVER = ["aircraft", "airports", "arrivals", "carriers", "departures", "flights", "schedules", "weather"]


def test_the_graph_shows_all_layers(page: Page) -> None:
    page.goto("/asset-groups")
    expect_nodes(page, "feeds", "bronze", "silver", "gold")

    page.goto("/locations/lakehouse/asset-groups/silver")
    expect_nodes(page, "flights")
    graph_from_top_to_bottom(page)
    expect_nodes(page, *SILVER)
    picture(page, "graph")


def test_one_day_of_a_table_is_computed_by_clicks(page: Page) -> None:
    page.goto("/assets/bronze/departure_events")
    page.get_by_role("button", name="Materialize").first.click()
    choose_days(page, "2013-01-02")
    page.get_by_role("button", name=re.compile("^Launch")).click()
    page.get_by_text("View", exact=True).click()
    expect(page.get_by_text("Success", exact=True)).to_be_visible(timeout=A_RUN_TAKES_AT_MOST)

    page.goto("/assets/bronze/departure_events?view=partitions&partition=2013-01-02")
    expect(page.get_by_text("rows read").first).to_be_visible()
    picture(page, "partitions")


def test_five_days_of_all_bronze_tables_are_backfilled_by_clicks(page: Page) -> None:
    page.goto("/locations/lakehouse/asset-groups/bronze")
    page.get_by_role("button", name="Materialize all").click()
    choose_days(page, "[2013-01-01...2013-01-05]")
    page.get_by_role("button", name="Launch backfill").click()
    page.get_by_text("View", exact=True).click()
    expect(page.get_by_text("100% completed")).to_have_count(8, timeout=A_RUN_TAKES_AT_MOST)
    expect(page.get_by_text("In progress", exact=True)).to_have_count(1)  # the column, and no longer the status
    picture(page, "backfill")


def test_checks_and_the_newest_day_are_visible(page: Page) -> None:
    page.goto("/assets/bronze/departure_events")
    expect(page.get_by_text("Latest check results").first).to_be_visible()
    expect(page.get_by_text("2013-01-05").first).to_be_visible()
    picture(page, "table")

    page.goto("/assets/bronze/departure_events?view=checks")
    for name in ("contract", "fresh", "key_unique", "row_count", "streaming"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded")).to_have_count(5)
    picture(page, "checks")


def test_rows_of_each_day_are_plotted(page: Page) -> None:
    page.goto("/assets/bronze/departure_events")
    page.get_by_text("Plots", exact=True).last.click()
    expect(page.get_by_text("dagster/partition_row_count", exact=True)).to_be_visible()
    expect(page.get_by_text("Asset plots are automatically generated")).to_have_count(0)


def test_the_days_to_choose_end_with_the_lakes_clock_and_follow_it(page: Page, home: Path) -> None:
    expect_days_to_choose(page, latest="2013-01-06", all_days="[2012-12-31...2013-01-06]")

    LandingFolder(home / "landing").advance_clock(date(2013, 1, 7))

    expect(page.get_by_text(re.compile(r"Loaded \d+ seconds ago"))).to_be_visible(timeout=90_000)
    expect_days_to_choose(page, latest="2013-01-08", all_days="[2012-12-31...2013-01-08]")


def test_ctrl_c_stops_everything(ui: WebUI) -> None:
    assert ui.stop() == 0
    assert len(ui.family) > 3, "the server, the daemon and the code server"
    _, alive = psutil.wait_procs(ui.family, timeout=10)
    assert not alive


def choose_days(page: Page, days: str) -> None:
    """Type days into the dialog that launches runs; it reads them when the field is left."""
    field = page.get_by_placeholder("ex:")
    field.fill(days)
    field.press("Tab")


def expect_days_to_choose(page: Page, *, latest: str, all_days: str) -> None:
    """What the dialog that launches runs fills in."""
    page.goto("/assets/bronze/departure_events")
    page.get_by_role("button", name="Materialize").first.click()
    for button, days in (("Latest", latest), ("All", all_days)):
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_placeholder("ex:")).to_have_value(days)


def expect_nodes(page: Page, *names: str) -> None:
    """Boxes of the graph that can be seen without scrolling."""
    for name in names:
        expect(page.locator("foreignObject").get_by_text(name, exact=True).first).to_be_visible()


def graph_from_top_to_bottom(page: Page) -> None:
    """The layout that fits the window, which is fitted to it when the page is loaded.

    In a wide window the boxes say what they are, and not only their names.
    """
    page.set_viewport_size({"width": 2200, "height": 800})
    page.get_by_text("Hide navigation").click()
    page.locator("button:has([aria-label=settings])").last.click()
    page.get_by_role("menuitem", name="vertical").click()
    page.reload()
