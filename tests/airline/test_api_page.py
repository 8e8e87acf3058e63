"""The examples of the page on the read API, run against `lakehouse api` over a small lake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest

from lake.engine.ports import free_ports
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from tests.lake.serve.api.readings import Row, compute
from tests.lakes import without_spark

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
TOKEN = "a-token-of-a-test"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def row(day: date, carrier: str, origin: str) -> Row:
    said = {"scheduled": 10, "flown": 9, "cancelled": 1, "diverted": 0, "arrivals_on_time": 8}
    delays = {"departure_delay_minutes": 40, "arrival_delay_minutes": -12}
    return {"flight_date": day, "carrier": carrier, "origin": origin, **said, **delays}


@contextmanager
def served(root: Path, *options: str, **env: str) -> Iterator[str]:
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "lake.commands.cli", "api", "--port", str(port), *options]
    known = {"LAKEHOUSE_HOME": str(root), "PYTHONPATH": str(ROOT), **env}
    with (root / "log").open("w+") as log:
        process = subprocess.Popen(command, env={**os.environ, **known}, stdout=log, stderr=log, cwd=ROOT)
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for(base, process)
            yield base
        finally:
            process.terminate()
            process.wait(60)
    assert TOKEN not in (root / "log").read_text()


def wait_for(base: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            httpx.get(f"{base}/tables", timeout=30)
        except httpx.TransportError:
            assert process.poll() is None
            time.sleep(0.2)
        else:
            return
    raise AssertionError("it does not answer")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    d1, d2 = date(2013, 1, 1), date(2013, 1, 2)
    rows = [
        row(d1, "AA", "JFK"),
        row(d1, "UA", "EWR"),
        row(d2, "AA", "JFK"),
        row(d2, "B6", "JFK"),
        row(d2, "UA", "EWR"),
    ]
    compute(without_spark(tmp_path), daily_carrier_performance, [d1, d2], rows)
    return tmp_path


def test_the_examples_of_the_page_run_and_answer_what_it_says(lake: Path) -> None:
    with served(lake) as base:
        for text in blocks("python"):
            code = text.replace("http://127.0.0.1:8000", base)
            subprocess.run([sys.executable, "-c", code], check=True, cwd=lake, timeout=300)
        answers = [
            subprocess.run(["sh", "-ec", line.replace("http://127.0.0.1:8000", base)], check=True, stdout=-1).stdout
            for text in blocks("sh")
            for line in text.splitlines()
        ]
        assert json.loads(answers[0]) == json.loads(blocks("json")[0])
        assert len(blocks("python")) == len(answers) == 3


def test_the_command_asks_for_a_token_where_one_is_set(lake: Path) -> None:
    with served(lake, "--workers", "2", LAKEHOUSE_API_TOKENS=f"other,{TOKEN}") as base:
        assert httpx.get(f"{base}/tables", timeout=60).status_code == 401
        assert httpx.get(f"{base}/tables", params={"token": TOKEN}, timeout=60).status_code == 401
        known = {"authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{base}/tables", headers=known, timeout=60).status_code == 200


def test_without_a_token_no_other_address_than_loopback_is_listened_on(lake: Path) -> None:
    command = [sys.executable, "-m", "lake.commands.cli", "api", "--host", "0.0.0.0"]
    env = {**os.environ, "LAKEHOUSE_HOME": str(lake), "PYTHONPATH": str(ROOT)}

    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 2
    assert "LAKEHOUSE_API_TOKENS" in done.stderr
