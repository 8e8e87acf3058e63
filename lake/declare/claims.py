"""Read the day that a row claims.

Bronze files rows under it, and silver reads times by the same functions, so that a
row that silver accepts has the very day under which bronze filed it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

__all__ = ["PLAUSIBLE_DAYS", "Claim", "calendar_date", "plausible_day", "utc_timestamp", "with_claim"]

PLAUSIBLE_DAYS = 30
"""A claimed day further than this from the landing day is not believed."""

# Strict, because the parser alone is not: it reads "10:15:00" as a time of the day on which the query runs.
_UTC_TIMESTAMP = r"^[12]\d{3}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z\z"
_CALENDAR_DATE = r"^[12]\d{3}-\d{2}-\d{2}\z"


def utc_timestamp(text: Column) -> Column:
    """Read `2024-03-01T10:15:00Z` as TIMESTAMP, null for any other text.

    Seconds may have six decimals.
    """
    return F.when(text.rlike(_UTC_TIMESTAMP), F.try_to_timestamp(text))


def calendar_date(text: Column) -> Column:
    """Read `2024-03-01` as DATE, null for any other text."""
    return F.when(text.rlike(_CALENDAR_DATE), text.try_cast("date"))


@dataclass(frozen=True)
class Claim:
    """Say where a row names its day, and which days are believed.

    Attributes:
        field: field of the JSON object, or column of the file; `order.placed_at` for a nested one.
        parse: text to TIMESTAMP or DATE; null for what is none.
        before: so many days before the landing day are believed.
        after: so many days after it; none where the row tells of something that has happened.
    """

    field: str
    parse: Callable[[Column], Column] = utc_timestamp
    before: int = PLAUSIBLE_DAYS
    after: int = 0

    def event_date(self, rows: DataFrame, json: str, landed_on: Column) -> DataFrame:
        """Add `event_date`: the claimed day where it is believed, else the landing day.

        Args:
            rows: with the claim in a JSON object.
            json: the column that holds it.
            landed_on: the landing day.
        """
        day = plausible_day(landed_on, before=self.before, after=self.after)
        return with_claim(rows, json, self.field, self.parse).withColumn("event_date", day)


def with_claim(rows: DataFrame, json: str, field: str, parse: Callable[[Column], Column]) -> DataFrame:
    """Add `_claim`, one parsed field of the JSON in a column.

    Each step has a column of its own, so that Spark parses a row once, however often the claim is used.
    """
    path = field.split(".")
    said = F.from_json(json, _with_field(path), {"mode": "PERMISSIVE"})
    for name in path:
        said = said.getField(name)
    return rows.withColumn("_claim", said).withColumn("_claim", parse(F.col("_claim")))


def plausible_day(landed_on: Column, *, before: int, after: int) -> Column:
    """Give the day of `_claim` if it is near the landing day.

    Else give the landing day.
    """
    claim = F.to_date("_claim")
    is_plausible = claim.between(F.date_sub(landed_on, before), F.date_add(landed_on, after))
    return F.when(is_plausible, claim).otherwise(landed_on)


def _with_field(path: list[str]) -> T.StructType:
    first, *rest = path
    return T.StructType([T.StructField(first, _with_field(rest) if rest else T.StringType())])
