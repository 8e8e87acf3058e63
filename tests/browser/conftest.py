"""The web UI of a scratch lake, and a browser to look at it.

SCREENSHOTS=1 computes all tables first and saves what the tests see in docs/images.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from airline.replay import replay
from lake.commands.up import choose_port
from lake.declare.days import Days

FIRST_DAY, LAST_DAY = "2012-12-31", "2013-01-05"
PROJECT = Path(__file__).parents[2]
IMAGES = PROJECT / "docs" / "images"
LAKEHOUSE = [sys.executable, "-m", "lake.commands.cli"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class WebUI:
    """A running `lakehouse up`."""

    url: str
    process: subprocess.Popen[str]
    family: list[psutil.Process] = field(default_factory=list)

    def stop(self) -> int:
        """Ctrl-C; returns the exit code."""
        own = psutil.Process(self.process.pid)
        self.family = [own, *own.children(recursive=True)]
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=90)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake on which six days have landed."""
    folder = tmp_path_factory.mktemp("lakehouse")
    replay(folder / "landing", Days.parse(f"{FIRST_DAY}..{LAST_DAY}"), malformed=0.002, seed=1)
    return folder


@pytest.fixture(scope="session")
def ui(home: Path) -> Iterator[WebUI]:
    env = {
        **os.environ,
        "LAKEHOUSE_HOME": str(home),
        "LAKEHOUSE_FIRST_DAY": FIRST_DAY,
        "LAKEHOUSE_LAST_DAY": "open",
        "LAKEHOUSE_SPARK_MASTER": "local[2]",
    }
    if "SCREENSHOTS" in os.environ:
        subprocess.run([*LAKEHOUSE, "refresh", "--days", f"{FIRST_DAY}..{LAST_DAY}"], env=env, cwd=home, check=True)
    port = choose_port(None)
    process = subprocess.Popen(
        [*LAKEHOUSE, "up", "--port", str(port)], env=env, cwd=home, text=True, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert any("is ready" in line for line in process.stdout), (home / "dagster" / "services.log").read_text()
        yield WebUI(f"http://127.0.0.1:{port}", process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=90)
        process.stdout.close()


@pytest.fixture
def page(ui: WebUI) -> Iterator[Page]:
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.skip(f"no browser here ({', '.join(BROWSERS)}); make test-ui says how to get one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        tab = browser.new_page(viewport={"width": 1400, "height": 900}, base_url=ui.url)
        tab.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield tab
        browser.close()


def picture(page: Page, name: str) -> None:
    """Save what is on the page, where pictures are wanted."""
    if "SCREENSHOTS" in os.environ:
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=IMAGES / f"{name}.png")
