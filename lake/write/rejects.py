"""Find rejected messages that a broker gives once more.

It does when a generation of bronze reads its topic again from the beginning. A file's line may have no offset, so that
a generation which reads files replaces the quarantine of their days. A broker no longer has every message, so that only
those which it gave again are taken out of the quarantine.
"""

from __future__ import annotations

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.table import Table
from lake.write.store import DeltaStore

__all__ = ["not_given_again"]


def not_given_again(table: Table, store: DeltaStore, rows: DataFrame) -> DataFrame:
    """Return the quarantined rows whose key is none of those in `rows`.

    They are those of a table's quarantine.
    """
    schema = T.StructType([table.contract.schema[name] for name in table.key])
    stored = store.read_quarantine(table)
    names = [f"_{name}" for name in table.key]
    said = F.from_json("row", schema)
    keyed = stored.withColumns({f"_{name}": said[name] for name in table.key})
    again = rows.select(*(F.col(name).alias(f"_{name}") for name in table.key)).distinct()
    return keyed.join(again, on=names, how="left_anti").select(*stored.columns)
