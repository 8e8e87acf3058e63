"""Lines of the reference file `airlines`, exactly as received."""

from datetime import timedelta

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lake.declare.table import Append, table
from lakehouse_assets.bronze.landing import FileLine, file_rows
from lakehouse_assets.feeds.airlines import airlines


class ReferenceAirlines(FileLine):
    """A line about one carrier as received."""


@table(
    reads=[airlines],
    contract=ReferenceAirlines,
    key=["file", "line_number", "landed_on"],
    day="landed_on",
    read_by="event_date",
    write=Append(),
    fresh_within=timedelta(days=32),
    owner="team:reference-data",
)
def reference_airlines(airlines: DataFrame) -> DataFrame:
    """One row per line of a `airlines` file, kept for ever, broken and repeated ones too.

    Grain: file, line number, landing day. Day: `landed_on`; the event date is the same day, since a reference line is
    about no day of its own. The full list lands about once a month.

    Reads: the landing day itself. Late data: does not exist. Rejected: nothing, every line is kept.
    """
    return file_rows(airlines, F.col("landed_on"))
