"""Lines of the reference file `planes`, exactly as received."""

from datetime import timedelta

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lake.declare.table import Append, table
from lakehouse_assets.bronze.landing import FileLine, file_rows
from lakehouse_assets.feeds.planes import planes


class ReferencePlanes(FileLine):
    """A line about one aircraft as received."""


@table(
    reads=[planes],
    contract=ReferencePlanes,
    key=["file", "line_number", "landed_on"],
    day="landed_on",
    read_by="event_date",
    write=Append(),
    fresh_within=timedelta(days=32),
    owner="team:reference-data",
)
def reference_planes(planes: DataFrame) -> DataFrame:
    """One row per line of a `planes` file, kept for ever, broken and repeated ones too.

    Grain: file, line number, landing day. Day: `landed_on`; the event date is the same day, since a reference line is
    about no day of its own. The full list lands about once a month.

    Reads: the landing day itself. Late data: does not exist. Rejected: nothing, every line is kept.
    """
    return file_rows(planes, F.col("landed_on"))
