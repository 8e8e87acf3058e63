"""Checksums of rows, which both ends of a sink have to agree on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

NESTED_TIMES = """
from datetime import UTC, date, datetime

import pyarrow as pa
import pyspark.sql.types as T

from lake.declare.contract import Contract, Field, compile_contract
from lake.serve.sums import json_text, sums_of
from tests.served import facts
from dataclasses import replace


class Visits(Contract):
    name: T.StringType = Field(description="of whom")
    times: T.ArrayType = Field(description="when", dtype_kwargs={"elementType": T.TimestampType()})


visits = replace(facts, contract=compile_contract(Visits), day=None, key=("name",))
times = pa.array([[datetime(2013, 1, 1, 5, tzinfo=UTC)]], pa.list_(pa.timestamp("us", "UTC")))
rows = pa.table({"name": ["a"], "times": times})
assert sums_of(rows, visits) == sums_of(json_text(rows, visits), visits)
"""


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_nested_times_have_the_sum_of_their_text_wherever_the_machine_is(zone: str) -> None:
    env = {**os.environ, "TZ": zone, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", NESTED_TIMES], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
