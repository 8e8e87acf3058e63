"""What every test may ask for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import dagster as dg
    from pyspark.sql import SparkSession

    from lake.project.settings import Settings
    from lake.write.store import DeltaStore


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for the Spark session, so that the fast lane never starts a JVM."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="session", autouse=True)
def utc_process() -> Iterator[None]:
    """PySpark reads naive datetimes in the zone of the process: with UTC, literal rows mean what they say."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


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
def spark(utc_process: None) -> Iterator[SparkSession]:
    """The one Spark session of the whole test run: two cores, quick to start."""
    from lake.engine.session import build_session

    session = build_session(
        app_name="lakehouse tests",
        master="local[2]",
        extra_conf={"spark.driver.memory": "2g"},
        jar_sets=("delta", "spark-kafka") if has_jars_of_kafka() else ("delta",),
    )
    yield session
    session.stop()


def has_jars_of_kafka() -> bool:
    """Whether they are here, or can be had. Without a network only the tests of Kafka fail, and name what they lack."""
    from lake.engine.jars import fetch
    from lake.errors import Offline

    try:
        fetch("spark-kafka")
    except Offline:
        return False
    return True


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> Iterator[DeltaStore]:
    """A store without tables on the shared session, tuned for a few rows, and an empty landing folder."""
    from tests.lakes import interpreted, open_lake

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


@pytest.fixture(autouse=True)
def no_stream_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop every stream that a test leaves running, so that it cannot write into the next one's tables."""
    yield
    if "spark" in request.fixturenames:
        for query in request.getfixturevalue("spark").streams.active:
            query.stop()
