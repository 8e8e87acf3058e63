"""Contracts as files of the Open Data Contract Standard, read by the standard's own schema and model."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pyspark.sql.types as T
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty
from pyspark.sql import DataFrame

from lake.commands.odcs import strangers, write_contracts
from lake.declare.contract import Contract, Field
from lake.declare.table import Replace, Table, table
from tests.people import people
from tests.served import fact_files
from tests.tiny_kinds import TABLES as KINDS

pytestmark = pytest.mark.slow

SCHEMA = json.loads((files("open_data_contract_standard") / "schema.json").read_text())
ITEM = T.StructType([T.StructField("sku", T.StringType(), nullable=False), T.StructField("pieces", T.IntegerType())])


class Orders(Contract):
    """An order."""

    number: T.LongType = Field(description="number of the order", ge=1)
    ordered_on: T.DateType = Field(description="when")
    email: T.StringType = Field(
        description="who", nullable=True, str_length={"max_value": 99}, metadata={"pii": "direct"}
    )
    state: T.StringType = Field(description="what became of it", isin=["new", "sent"], str_matches="new|sent$")
    share: T.DoubleType = Field(description="discount", in_range={"min_value": 0, "max_value": 1, "include_max": False})
    items: Annotated[T.ArrayType, ITEM, False] = Field(description="what was ordered")
    late: T.IntegerType = Field(description="days", eq=0, metadata={"stored": False})


@table(
    reads=[fact_files],
    contract=Orders,
    key=["ordered_on", "number"],
    day="ordered_on",
    write=Replace(),
    layer="gold",
    owner="team:shop",
    tags={"domain": "sales", "tier": "1"},
    fresh_within=timedelta(hours=26),
)
def orders(fact_files: DataFrame) -> DataFrame:
    """One row per order."""
    return fact_files


def read_back(folder: Path, *tables: Table) -> list[OpenDataContractStandard]:
    """What the standard's own model reads of the files, each of which its JSON schema accepts."""
    read = []
    for path in write_contracts(folder, tables):
        jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)
        read.append(OpenDataContractStandard.from_file(str(path)))
    return read


def test_the_standards_own_reader_finds_what_is_declared(tmp_path: Path) -> None:
    (read,) = read_back(tmp_path, orders)

    assert (read.id, read.domain, read.tags) == ("gold.orders", "sales", ["domain=sales", "tier=1"])
    assert getattr(read.team, "name", None) == "team:shop"
    (sla,) = read.slaProperties or []
    assert (sla.property, sla.value, sla.unit, sla.element) == ("latency", 26, "h", "orders.ordered_on")
    (schema,) = read.schema_ or []
    columns = {str(one.name): one for one in schema.properties or []}
    assert list(columns) == ["number", "ordered_on", "email", "state", "share", "items"]
    assert {name: (one.logicalType, one.physicalType, one.required) for name, one in columns.items()} == {
        "number": ("integer", "bigint", True),
        "ordered_on": ("date", "date", True),
        "email": ("string", "string", False),
        "state": ("string", "string", True),
        "share": ("number", "double", True),
        "items": ("array", "array<struct<sku:string,pieces:int>>", True),
    }
    assert keys(columns) == {"ordered_on": 1, "number": 2}
    assert [name for name, one in columns.items() if one.partitioned] == ["ordered_on"]
    assert {name: one.classification for name, one in columns.items() if one.classification} == {"email": "direct"}
    assert {name: one.logicalTypeOptions for name, one in columns.items() if one.logicalTypeOptions} == {
        "number": {"minimum": 1},
        "email": {"maxLength": 99},
        "state": {"pattern": "^(?:new|sent$)"},
        "share": {"minimum": 0, "exclusiveMaximum": 1},
    }
    (listed,) = columns["state"].quality or []
    assert (listed.metric, listed.arguments, listed.mustBe) == ("invalidValues", {"validValues": ["new", "sent"]}, 0)
    inner = columns["items"].items
    assert inner is not None
    assert inner.required
    assert [(one.name, one.required) for one in inner.properties or []] == [("sku", True), ("pieces", False)]
    unique, _ = schema.quality or []
    assert (unique.metric, unique.arguments) == ("duplicateValues", {"properties": ["ordered_on", "number"]})
    assert [one.description for one in schema.quality or []] == [
        "ordered_on, number together are unique",
        "late, computed and not stored: = 0",
    ]


def keys(columns: dict[str, SchemaProperty]) -> dict[str, Any]:
    return {name: one.primaryKeyPosition for name, one in columns.items() if one.primaryKey}


@pytest.mark.parametrize("kind", [people, *KINDS], ids=lambda kind: kind.full_name)
def test_every_kind_of_table_is_a_contract_of_the_standard(kind: Table, tmp_path: Path) -> None:
    (read,) = read_back(tmp_path, kind)

    (schema,) = read.schema_ or []
    columns = {str(one.name): one for one in schema.properties or []}
    assert list(columns) == kind.contract.stored_names
    assert set(keys(columns)) == set(kind.key)


def test_a_file_changes_its_version_where_the_contract_changes_and_only_there(tmp_path: Path) -> None:
    (first,), (again,) = read_back(tmp_path / "one", orders), read_back(tmp_path / "two", orders)
    (other,) = read_back(tmp_path / "three", replace(orders, owner="team:other"))

    written = [tmp_path / name / "gold.orders.odcs.yaml" for name in ("one", "two", "three")]
    assert written[0].read_bytes() == written[1].read_bytes()
    assert first.version == again.version != other.version
    assert str(tmp_path) not in written[0].read_text()


def test_a_contract_of_a_table_that_is_gone_is_named(tmp_path: Path) -> None:
    write_contracts(tmp_path, [orders, people])

    written = write_contracts(tmp_path, [orders])

    assert [path.name for path in strangers(tmp_path, written)] == ["gold.people.odcs.yaml"]
