"""Timetable lines, exactly as received."""

from datetime import timedelta

from lake.declare.claims import PLAUSIBLE_DAYS, Claim, calendar_date
from lake.declare.received import received
from lakehouse_assets.feeds.schedules import schedules

FLIGHT_DATE = Claim("flight_date", calendar_date, after=PLAUSIBLE_DAYS)


@received(schedules, claim=FLIGHT_DATE, fresh_within=timedelta(hours=2), owner="team:operations")
def schedule_files() -> None:
    """One row per line of a timetable file, about a local flight date."""
