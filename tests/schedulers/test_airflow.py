"""The DAG of the docs in a real Airflow: logical dates, retries, exit codes, and runs that meet."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from lake.storage.table_locks import TableLocks
from tests.schedulers.conftest import Airflow, environment_of_a_user
from tests.shop import land_orders, messages_of, write_shop

FIRST, SECOND = date(2024, 3, 1), date(2024, 3, 2)
ORDERS = ["number", "euros", "ordered_on"]


def orders(shop: Path) -> list[dict[str, Any]]:
    rows = DeltaTable(shop / ".lakehouse" / "tables" / "silver" / "orders").to_pyarrow_table(columns=ORDERS)
    found: list[dict[str, Any]] = rows.sort_by([(name, "ascending") for name in ORDERS]).to_pylist()
    return found


def run_day(airflow: Airflow, day: date, at_first_failure: Callable[[], object]) -> list[int]:
    """Run the DAG of a logical date. Returns the exit codes of its tries."""
    codes: list[int] = []
    with airflow.start("dags", "test", "lakehouse", f"{day}") as run:
        assert run.stdout
        for line in run.stdout:
            _, ended, code = line.partition("Command exited with return code ")
            if ended:
                codes.append(int(code.split()[0]))
                if len(codes) == 1 and codes[0]:
                    at_first_failure()
    assert run.returncode == 0
    return codes


def write_two_days(shop: Path, second: bytes) -> None:
    write_shop(shop)
    land_orders(shop, SECOND, second, "b.jsonl.gz")


def test_each_logical_date_is_a_day_and_a_retry_mends_what_it_can(
    airflow: Airflow, command: Path, tmp_path: Path
) -> None:
    shop, by_hand = tmp_path / "shop", tmp_path / "by_hand"
    whole = gzip.compress(messages_of(SECOND, first_offset=10))
    write_two_days(shop, whole[:-12])
    write_two_days(by_hand, whole)
    expected = subprocess.run(
        [command, "refresh", "--days", f"{FIRST}..{SECOND}"], cwd=by_hand, env=environment_of_a_user()
    )
    assert expected.returncode == 0

    with ExitStack() as other_writer:
        locks = TableLocks(shop / ".lakehouse" / "tables" / ".locks", 1, print)
        other_writer.enter_context(locks.hold("silver.orders"))
        assert run_day(airflow, FIRST, other_writer.close) == [75, 0]
    assert airflow.standing(FIRST) == ("success", 2)
    assert {row["ordered_on"] for row in orders(shop)} == {FIRST}

    codes = run_day(airflow, SECOND, lambda: land_orders(shop, SECOND, whole, "b.jsonl.gz"))
    assert codes == [1, 0]
    assert airflow.standing(SECOND) == ("success", 2)
    assert orders(shop) == orders(by_hand)
    assert len(orders(shop)) == 4


def test_what_no_retry_mends_fails_at_once(airflow: Airflow, tmp_path: Path) -> None:
    write_shop(tmp_path / "shop")

    wrong = ["--conf", '{"days": "yesterday"}']
    said = airflow.run("dags", "test", "lakehouse", f"{FIRST}", *wrong, ends_with=1)

    assert "Command exited with return code 2" in said
    assert airflow.standing(FIRST) == ("failed", 1)


def test_a_run_of_a_range_and_a_refresh_by_hand_do_not_disturb_each_other(
    airflow: Airflow, command: Path, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    write_two_days(shop, gzip.compress(messages_of(SECOND, first_offset=10)))

    with subprocess.Popen([command, "refresh"], cwd=shop, env=environment_of_a_user()) as by_hand:
        said = airflow.run("dags", "test", "lakehouse", f"{SECOND}", "--conf", f'{{"days": "{FIRST}..{SECOND}"}}')

    assert by_hand.returncode in {0, 75}, "it computed, or gave way"
    assert airflow.standing(SECOND)[0] == "success", said
    assert [row["number"] for row in orders(shop)] == [1, 1, 2, 2]
