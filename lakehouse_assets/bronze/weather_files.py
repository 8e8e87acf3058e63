"""Weather lines, exactly as received."""

from datetime import timedelta

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lake.declare.table import Append, table
from lakehouse_assets.bronze.landing import (
    PLAUSIBLE_DAYS,
    FileLine,
    file_rows,
    plausible_day,
    utc_timestamp,
    with_claim,
)
from lakehouse_assets.feeds.weather import weather


class WeatherFiles(FileLine):
    """A line of an hourly weather file as received, with the UTC day that it claims."""


@table(
    reads=[weather],
    contract=WeatherFiles,
    key=["file", "line_number", "landed_on"],
    day="landed_on",
    read_by="event_date",
    write=Append(),
    fresh_within=timedelta(hours=2),
    owner="team:operations",
)
def weather_files(weather: DataFrame) -> DataFrame:
    """One row per line of a weather file, kept for ever, broken and repeated ones too.

    Grain: file, line number, landing day. Day: `landed_on`; readers select rows by `event_date`, the UTC day of
    `observed_at` in the line. A claim outside the 30 days up to the landing day is not believed, and the row is filed
    under the landing day, where silver meets it and rejects it.

    Reads: the landing day itself. Late data: an observation that lands late has an older event date. Rejected: nothing,
    every line is kept.
    """
    claimed = with_claim(weather, "line", "observed_at", utc_timestamp)
    return file_rows(claimed, plausible_day(F.col("landed_on"), before=PLAUSIBLE_DAYS, after=0))
