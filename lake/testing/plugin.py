"""Give the tests of a project one Spark session.

Write `pytest_plugins = ["lake.testing.plugin"]` in its conftest.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["jar_sets", "no_stream_survives", "spark", "utc_process"]

pytest.register_assert_rewrite("lake.testing.laws", "lake.testing.streamed")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of tests that need Spark."""
    config.addinivalue_line("markers", "spark: needs the Spark session (Java; the first such test waits for the JVM)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for the Spark session.

    So tests without it can be chosen.
    """
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="session", autouse=True)
def utc_process() -> Iterator[None]:
    """Set the zone of the process to UTC.

    PySpark reads naive datetimes in the zone of the process.
    """
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture(scope="session")
def jar_sets() -> Sequence[str]:
    """Name the sets of jars that the session of the tests has."""
    return ("delta",)


@pytest.fixture(scope="session")
def spark(utc_process: None, jar_sets: Sequence[str]) -> Iterator[SparkSession]:
    """Start the one Spark session of the whole test run.

    It has two cores and is quick to start.
    """
    del utc_process
    from lake.engine.session import build_session

    session = build_session(
        app_name="lakehouse tests",
        master="local[2]",
        extra_conf={"spark.driver.memory": "2g"},
        jar_sets=jar_sets,
    )
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def no_stream_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop every stream that a test leaves running.

    It could write into the tables of the next test.
    """
    yield
    if "spark" in request.fixturenames:
        for query in request.getfixturevalue("spark").streams.active:
            query.stop()
