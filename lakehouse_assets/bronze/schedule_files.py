"""Timetable lines, exactly as received."""

from datetime import timedelta

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lake.declare.table import Append, table
from lakehouse_assets.bronze.landing import (
    PLAUSIBLE_DAYS,
    FileLine,
    calendar_date,
    file_rows,
    plausible_day,
    with_claim,
)
from lakehouse_assets.feeds.schedules import schedules


class ScheduleFiles(FileLine):
    """A line of a timetable as received, with the flight date that it claims."""


@table(
    reads=[schedules],
    contract=ScheduleFiles,
    key=["file", "line_number", "landed_on"],
    day="landed_on",
    read_by="event_date",
    write=Append(),
    fresh_within=timedelta(hours=2),
    owner="team:operations",
)
def schedule_files(schedules: DataFrame) -> DataFrame:
    """One row per line of a timetable file, kept for ever, broken and repeated ones too.

    Grain: file, line number, landing day. Day: `landed_on`; readers select rows by `event_date`, the flight date in the
    line (a local date). A flight date more than 30 days from the landing day is not believed, and the row is filed
    under the landing day, where silver meets it and rejects it.

    Reads: the landing day itself. Late data: a file that lands late has an older event date; one that is completed
    later replaces its landing day when that is refreshed. Rejected: nothing, every line is kept.
    """
    claimed = with_claim(schedules, "line", "flight_date", calendar_date)
    return file_rows(claimed, plausible_day(F.col("landed_on"), before=PLAUSIBLE_DAYS, after=PLAUSIBLE_DAYS))
