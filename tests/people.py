"""A table about persons, filled without Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from random import Random
from typing import Any

import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field, compile_contract
from lake.declare.table import Replace, Table, table
from tests.served import FACTS, Row, fact_files

__all__ = ["nameless", "people", "some_people"]


class People(Contract):
    """A person on a day."""

    email: T.StringType = Field(description="address", metadata={"pii": "direct"})
    number: T.LongType = Field(description="number of the passport", metadata={"pii": "direct"})
    day: T.DateType = Field(description="when")
    born_on: T.DateType = Field(description="date of birth", nullable=True, metadata={"pii": "quasi"})
    salary: T.DoubleType = Field(description="what is paid, EUR", nullable=True, metadata={"pii": "sensitive"})
    visits: T.IntegerType = Field(description="how often", ge=0)


@table(
    reads=[fact_files],
    contract=People,
    key=["email", "number", "day"],
    day="day",
    write=Replace(),
    layer="gold",
    tags={"domain": "staff"},
    **FACTS,
)
def people(fact_files: DataFrame) -> DataFrame:
    """One row per person and day."""
    return fact_files


class Nameless(Contract):
    """The same columns, said to tell nothing of a person."""

    email: T.StringType = Field(description="address")
    number: T.LongType = Field(description="number of the passport")
    day: T.DateType = Field(description="when")
    born_on: T.DateType = Field(description="date of birth", nullable=True)
    salary: T.DoubleType = Field(description="what is paid, EUR", nullable=True)
    visits: T.IntegerType = Field(description="how often", ge=0)


nameless: Table = replace(people, contract=compile_contract(Nameless))
"""`people` before somebody noticed."""


def some_people(random: Random, day: date, number: int) -> Iterator[Row]:
    """Persons of a day, of whom not all is known."""
    for one in range(number):
        values: dict[str, Any] = {
            "email": f"person{one}@example.org",
            "number": random.randrange(2**40),
            "day": day,
            "born_on": random.choice([None, date(1980, 1, 1 + random.randrange(28))]),
            "salary": random.choice([None, 1000.5, random.random()]),
            "visits": random.randrange(100),
        }
        yield values
