"""Read a Delta table of another team as a feed, by version.

It is never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame, SparkSession, Window

from lake.declare.feed import Feed
from lake.declare.formats import EXACT_JSON, FILE_FRAME, FILE_NAME
from lake.declare.source_file import SourceFile
from lake.errors import DeclarationError

__all__ = ["DeltaFeed"]


@dataclass(frozen=True)
class DeltaFeed(Feed):
    """Declare a Delta table of somebody else as a feed.

    Its days are landing days: bronze holds of each what the table holds.

    A row is a JSON object by the columns' names, as of `Parquet`. Bronze replaces a day whose rows were changed.

    Attributes:
        table: its folder; a relative one lies under the landing folder.
        day: the DATE column by which it is partitioned.
    """

    table: str = ""
    day: str = ""

    def __post_init__(self) -> None:
        if not self.table or not self.day:
            remedy = 'write table="/srv/sales/orders", day="ordered_on"'
            raise DeclarationError(f"feed {self.name}", "does not say which table it is", remedy)

    @property
    def schema(self) -> T.StructType:
        return FILE_FRAME

    def read_version(self, spark: SparkSession, location: str, version: int, days: Sequence[date]) -> DataFrame:
        """Read the rows of some days, lazily, as one version has them."""
        table = spark.read.format("delta").option("versionAsOf", version).load(location)
        none = F.lit(None).cast("string")
        rows = table.where(F.col(self.day).isin(list(days))).select(
            F.to_json(F.struct("*"), EXACT_JSON).alias("line"),
            F.col(FILE_NAME).alias("file"),
            F.col(self.day).alias("landed_on"),
            none.alias("_raw"),
            none.alias("_problem"),
            F.lit(None).cast("timestamp").alias("_landed_at"),
        )
        # Delta does not say where in its file a row lies, so equal rows may swap places.
        place = F.row_number().over(Window.partitionBy("file").orderBy("line"))
        return rows.withColumn("line_number", place).select(*FILE_FRAME.names)

    def problem(self, file: SourceFile) -> str:
        del file
        return f"its feed is the Delta table {self.table}, which another team writes"
