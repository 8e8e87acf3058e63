"""The DAG of the docs where Airflow's own scheduler makes the runs: missed days, a retry, a run that is stopped."""

from __future__ import annotations

import gzip
import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from lake.storage.table_locks import TableLocks
from tests.schedulers.conftest import Airflow
from tests.schedulers.running_airflow import RunningAirflow, running
from tests.schedulers.test_airflow import FIRST, ORDERS, SECOND, orders, write_two_days
from tests.shop import messages_of

MISSED = {
    "catchup=False": "catchup=True",
    "start_date=datetime(2024, 1, 1)": "start_date=datetime(2024, 3, 1), end_date=datetime(2024, 3, 3)",
}
"""What the docs say to change where the scheduler is to make up for days, and an end: there are two."""


def write_shop_of_two_days(airflow: Airflow, shop: Path) -> None:
    """Let two days land that no scheduler has seen, and have the DAG make up for them."""
    write_two_days(shop, gzip.compress(messages_of(SECOND, first_offset=10)))
    dag = airflow.home / "dags" / "airflow_dag.py"
    text = dag.read_text()
    for as_shown, changed in MISSED.items():
        assert text.count(as_shown) == 1
        text = text.replace(as_shown, changed)
    dag.write_text(text)


def landed_orders(shop: Path) -> list[dict[str, Any]]:
    """The orders of the landed files, counted by pandas."""
    files = sorted((shop / ".lakehouse" / "landing" / "order_messages").rglob("*.jsonl*"))
    messages = pd.concat([pd.read_json(file, lines=True, convert_dates=False) for file in files], ignore_index=True)
    found = pd.json_normalize([json.loads(value) for value in messages["value"]])
    found["ordered_on"] = pd.to_datetime(messages["timestamp"]).dt.date
    whole = found.dropna().drop_duplicates(["number", "ordered_on"]).sort_values(ORDERS)
    return [dict(zip(ORDERS, row, strict=True)) for row in whole.astype({"euros": int})[ORDERS].itertuples(index=False)]


def has(run: RunningAirflow, day: date, state: str) -> bool:
    return run.airflow.asked(day, "task.state") == [(state,)]


def test_the_scheduler_makes_up_for_two_days_one_after_the_other_and_tries_again(
    airflow: Airflow, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    write_shop_of_two_days(airflow, shop)
    locks = TableLocks(shop / ".lakehouse" / "tables" / ".locks", 1, print)

    with running(airflow) as run:
        with ExitStack() as other_writer:
            other_writer.enter_context(locks.hold("silver.orders"))
            airflow.run("dags", "unpause", "-y", "lakehouse")
            run.until(lambda: bool(run.commands(FIRST)))
            run.until(lambda: has(run, FIRST, "up_for_retry"))
            assert not airflow.asked(SECOND, "task.start_date")
        run.until(lambda: has(run, SECOND, "success"))

    assert (airflow.codes(FIRST), airflow.codes(SECOND)) == ([75, 0], [0])
    assert airflow.standing(FIRST) == ("success", 2)
    assert airflow.asked(FIRST, "task.end_date") < airflow.asked(SECOND, "task.start_date")
    assert orders(shop) == landed_orders(shop)
    assert {row["ordered_on"] for row in orders(shop)} == {FIRST, SECOND}


def test_a_run_that_is_marked_as_failed_ends_its_command_and_days_go_on(airflow: Airflow, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    write_shop_of_two_days(airflow, shop)
    locks = TableLocks(shop / ".lakehouse" / "tables" / ".locks", 1, print)
    patient = replace(airflow, environment={**airflow.environment, "LAKEHOUSE_LOCK_TIMEOUT": "1800"})

    with running(patient) as run:
        with ExitStack() as other_writer:
            other_writer.enter_context(locks.hold("silver.orders"))
            airflow.run("dags", "unpause", "-y", "lakehouse")
            run.until(lambda: bool(run.commands(FIRST)))
            run.fail_run(FIRST)
            run.until(lambda: not run.commands(FIRST))
        run.until(lambda: has(run, SECOND, "success"))

    assert airflow.standing(FIRST) == ("failed", 1)
    assert {row["ordered_on"] for row in orders(shop)} == {SECOND}
