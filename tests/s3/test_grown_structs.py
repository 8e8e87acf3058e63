"""Structs that get a field where the table lies on S3: the tests of a folder, with another store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.storage.landing import Landing
from lake.testing.lakes import interpreted
from lake.write.store import DeltaStore
from tests.lake.test_grown_structs import (
    lake,
    test_a_table_gets_the_fields_and_old_rows_have_null_there,
    test_a_table_that_has_not_grown_yet_is_read_with_the_fields,
    test_micro_batches_write_the_fields_beside_rows_that_have_none,
    test_what_may_not_be_null_within_a_new_field_is_a_rule,
)
from tests.s3.server import BUCKET

__all__ = [
    "lake",
    "test_a_table_gets_the_fields_and_old_rows_have_null_there",
    "test_a_table_that_has_not_grown_yet_is_read_with_the_fields",
    "test_micro_batches_write_the_fields_beside_rows_that_have_none",
    "test_what_may_not_be_null_within_a_new_field_is_a_rule",
]


@pytest.fixture
def store(spark: SparkSession, s3_settings: Settings, tmp_path: Path) -> Iterator[DeltaStore]:
    """A store whose tables lie on S3, and whose files land in a folder."""
    with interpreted(spark):
        far, landing = f"s3://{BUCKET}/{tmp_path.name}", Landing(tmp_path / "landing")
        yield open_store(replace(s3_settings, tables=far, home=tmp_path, landing=landing), lambda: spark)
