"""One S3 server and one Spark session that reaches it, for all tests of the lane."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.project.opening import open_session, open_store
from lake.project.settings import Settings
from lake.storage.landing import Landing
from lake.storage.store_path import StorePath
from lake.write.store import DeltaStore
from tests.s3.server import BUCKET, Server, running

Opened = Callable[[Path, SparkSession], DeltaStore]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.s3)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("s3") / "moto.log") as server:
        yield server


@pytest.fixture(scope="session")
def s3_settings(s3: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a lake on the server, whose keys are variables of the process."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as process:
        for name, value in s3.variables.items():
            process.setenv(name, value)
        given = {"TABLES": f"s3://{BUCKET}/tables", "HOME": str(home), "SPARK_MASTER": "local[2]", "FEED": "kafka"}
        given["SPARK"] = '{"spark.driver.memory": "2g"}'
        yield Settings.from_env(os.environ | {f"LAKEHOUSE_{name}": value for name, value in given.items()})


@pytest.fixture(scope="session")
def spark(utc_process: None, s3_settings: Settings) -> Iterator[SparkSession]:
    """The session as commands open it."""
    session = open_session(s3_settings)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def on_s3(s3_settings: Settings) -> Opened:
    """Opens a lake whose tables and landing lie on S3, under the name of its folder."""

    def opened(root: Path, spark: SparkSession) -> DeltaStore:
        tables = f"s3://{BUCKET}/{root.parent.name}/{root.name}"
        landing = Landing(StorePath(f"{tables}-landing"))
        home = replace(s3_settings, tables=tables, home=root, landing=landing).reaching_landing()
        return open_store(home, lambda: spark)

    return opened
