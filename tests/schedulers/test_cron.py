"""The lines of the example `crontab`, run as cron runs them, and the units for systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.schedulers.conftest import EXAMPLES
from tests.shop import write_shop

Line = tuple[str, str]
PRODUCTION = "[tool.lakehouse.environments.production]\n"
VARIABLE = re.compile(r"\w+=")


def said() -> list[str]:
    """What the example says beside its comments: variables, and lines."""
    return [line for line in (EXAMPLES / "crontab").read_text().splitlines() if line and not line.startswith("#")]


def lines() -> list[Line]:
    """When and what: cron ends a command at a % and takes \\% for one."""
    parts = [line.split(maxsplit=5) for line in said() if not VARIABLE.match(line)]
    return [(" ".join(part[:5]), re.split(r"(?<!\\)%", part[5])[0].replace(r"\%", "%")) for part in parts]


@pytest.fixture
def shop(command: Path, tmp_path: Path) -> Path:
    """A project whose first day was yesterday, with the command where the example looks for it."""
    shop = tmp_path / "shop"
    write_shop(shop, datetime.now(UTC).date() - timedelta(days=1))
    file = shop / "pyproject.toml"
    file.write_text(file.read_text().replace(PRODUCTION, f'{PRODUCTION}home = "production"\n'))
    (shop / ".lakehouse").rename(shop / "production")
    (shop / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(command, shop / ".venv" / "bin")
    return shop


def start(line: Line, shop: Path) -> subprocess.Popen[bytes]:
    """As cron does: /bin/sh, and nothing set but what the example sets."""
    given = [one for one in said() if VARIABLE.match(one)]
    command = line[1].replace("/srv/lakehouse", str(shop))
    return subprocess.Popen(["env", "-i", *given, "/bin/sh", "-c", command], cwd="/")


def test_the_day_that_is_over_is_computed_and_a_second_line_gives_way(shop: Path) -> None:
    nightly, due = lines()
    assert nightly[0] == "30 0 * * *"

    with start(nightly, shop) as first:
        while not (shop / "cron.lock").exists() and first.poll() is None:
            pass
        assert start(due, shop).wait() == 75, "the first holds the lock of the lines"
    assert first.returncode == 0, (shop / "cron.log").read_text()
    assert start(due, shop).wait() == 0

    log = (shop / "cron.log").read_text()
    yesterday = f"{datetime.now(UTC).date() - timedelta(days=1)}"
    assert re.search(rf"^ok silver.orders +{yesterday} ", log, flags=re.MULTILINE), log
    assert log.rstrip().endswith("nothing to do: no day is missing or stale")
    rows = DeltaTable(shop / "production" / "tables" / "silver" / "orders").to_pyarrow_table()
    assert sorted(rows["number"].to_pylist()) == [1, 2]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_units(shop: Path) -> None:
    names = ("lakehouse.service", "lakehouse.timer", "lakehouse-up.service")
    for name in names:
        text = (EXAMPLES / name).read_text().replace("/srv/lakehouse", str(shop)).replace("User=lakehouse", "User=root")
        (shop / name).write_text(text)

    units = [str(shop / name) for name in names]
    checked = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)

    assert (checked.returncode, checked.stderr) == (0, "")
