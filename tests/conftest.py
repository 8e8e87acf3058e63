"""What every test may ask for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import dagster as dg
    from pyspark.sql import SparkSession

    from lake.project.settings import Settings
    from lake.write.store import DeltaStore


pytest_plugins = ["lake.testing.plugin"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, then others with Spark, because two workers then end at about the same time."""
    weights: dict[Path, int] = {}
    for item in items:
        weight = 2 if item.get_closest_marker("slow") else 1 if item.get_closest_marker("spark") else 0
        weights[item.path] = max(weight, weights.get(item.path, 0))
    items.sort(key=lambda item: -weights[item.path])


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose own zone is five hours behind UTC."""
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="session", autouse=True)
def this_project() -> Iterator[None]:
    """Let commands that tests start in another folder belong to the example, as in its own folder."""
    before = os.environ.get("LAKEHOUSE_PROJECT")
    os.environ["LAKEHOUSE_PROJECT"] = str(Path(__file__).parents[1])
    yield
    os.environ.pop("LAKEHOUSE_PROJECT")
    if before is not None:
        os.environ["LAKEHOUSE_PROJECT"] = before


@pytest.fixture(scope="session")
def jar_sets() -> Sequence[str]:
    """Those of Kafka too, where they are here or can be had."""
    return ("delta", "spark-kafka") if has_jars_of_kafka() else ("delta",)


def has_jars_of_kafka() -> bool:
    """Whether they are here, or can be had. Without a network only the tests of Kafka fail, and name what they lack."""
    from lake.engine.jars import fetch
    from lake.errors import Offline

    try:
        fetch("spark-kafka")
    except Offline:
        return False
    return True


LARGE = ("streams", "year", "soak", "s3")
"""Lanes with so many rows that Spark's generated code pays."""


@pytest.fixture(autouse=True)
def few_rows(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tune the shared session for a few rows while a test runs; lakes of a whole file are made before, untuned."""
    from lake.testing.lakes import interpreted

    if "spark" not in request.fixturenames or any(map(request.node.get_closest_marker, LARGE)):
        yield
        return
    with interpreted(request.getfixturevalue("spark")):
        yield


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> Iterator[DeltaStore]:
    """A store without tables on the shared session, tuned for a few rows, and an empty landing folder."""
    from lake.testing.lakes import interpreted, open_lake

    with interpreted(spark):
        yield open_lake(tmp_path, spark)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a lake of small tables, in a folder of its own."""
    from tests.lakehouse_assets.small_lake import settings_for

    return settings_for(tmp_path)


@pytest.fixture
def instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster as those settings configure it, whatever the environment of the process says."""
    from lake.orchestration.dagster_home import open_instance

    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", "")
    with open_instance(settings) as opened:
        yield opened
