"""A table in a REST catalog: the reference server of Apache Iceberg.

It runs only where it is asked for, because that server listens on every interface of the machine and has no setting
against it. Its jar has 212 MB and is not fetched here:

    mvn dependency:get -Dartifact=org.apache.iceberg:iceberg-open-api:1.10.0
    LAKEHOUSE_TEST_REST_CATALOG=1 .venv/bin/python -m pytest tests/lake/serve/test_iceberg_rest.py
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table as IcebergTable

from lake.declare.destinations import Iceberg
from lake.declare.table import Table
from lake.engine.jars import maven_cache
from lake.engine.ports import free_ports
from lake.serve.publish import publish
from lake.serve.target import Place
from lake.testing.laws import a_sink_holds_its_table_at_the_versions_it_names
from lake.write.store import DeltaStore
from tests.lakes import without_spark
from tests.served import D1, D2, delta_rows, facts, grown, refill, row, sink_of, survey_of

NAME = "org/apache/iceberg/iceberg-open-api/1.10.0/iceberg-open-api-1.10.0.jar"
SHA256 = "99379edef1a65b51c40a63971ffab46d38966821af26ef6224bd217eeacae8d7"
TO = Iceberg(namespace="shared", catalog_from="ICEBERG_CATALOG")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("LAKEHOUSE_TEST_REST_CATALOG"), reason="not asked for: see the top"),
]


@pytest.fixture
def catalog_uri(tmp_path: Path) -> Iterator[str]:
    """A running server with an empty catalog in a file."""
    jar = maven_cache() / NAME
    with jar.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256
    (port,) = free_ports(1)
    given = {
        "CATALOG_REST_PORT": str(port),
        "CATALOG_URI": f"jdbc:sqlite:file:{tmp_path / 'rest.db'}",
        "CATALOG_WAREHOUSE": (tmp_path / "warehouse").as_uri(),
    }
    with (tmp_path / "rest.log").open("wb") as log:
        server = subprocess.Popen(
            ["java", "-XX:TieredStopAtLevel=1", "-jar", str(jar)], env=os.environ | given, stdout=log, stderr=log
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        _await(uri, server)
        yield uri
    finally:
        server.kill()
        server.wait(30)


def _await(uri: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "it has ended"
        try:
            httpx.get(f"{uri}/v1/config").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("it does not answer")


@contextmanager
def opened(uri: str) -> Iterator[IcebergTable]:
    with load_catalog("any", type="rest", uri=uri) as catalog:
        yield catalog.load_table("shared.board")


def spelled(rows: list[dict[str, object]]) -> list[tuple[str, str, str]]:
    return sorted((str(one["name"]), str(one["day"]), str(one["big"])) for one in rows)


def test_a_table_in_a_rest_catalog_follows_its_delta_table(catalog_uri: str, tmp_path: Path) -> None:
    store: DeltaStore = without_spark(tmp_path / "lake")
    place = Place(tmp_path / "home", {"ICEBERG_CATALOG": catalog_uri})

    def write_days(days: list[date], names: list[str]) -> None:
        refill(store, facts, days, [row(name, day) for day in days for name in names])

    def write_column() -> None:
        refill(store, grown, [D2], [row("grown", D2) | {"note": "new"}])

    steps: list[tuple[Table, Callable[[], None]]] = [
        (facts, lambda: write_days([D1, D2], ["a", "b"])),
        (facts, lambda: write_days([D1], ["c"])),
        (facts, lambda: write_days([D2], [])),
        (grown, write_column),
    ]
    for snapshots, (read, change) in enumerate(steps, 1):
        change()
        board = sink_of(read, TO)
        publish(board, survey_of(store, read), place)
        assert publish(board, survey_of(store, read), place).days == {}, "a repeat finds nothing to do"

        with opened(catalog_uri) as table:
            assert spelled(table.scan().to_arrow().to_pylist()) == spelled(delta_rows(store, read))
            assert len(table.snapshots()) == snapshots
            files = {task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()}
            assert all(Path(file).is_relative_to(tmp_path / "lake") for file in files), "no file was copied"
            one_day = {task.file.file_path for task in table.scan(f"day == '{D2}'").plan_files()}
            assert all(f"day={D2}" in file for file in one_day)
        a_sink_holds_its_table_at_the_versions_it_names(board, store, place)
