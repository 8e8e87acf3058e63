"""Rows of the workshop's files, exactly as received."""

from datetime import timedelta

from lake.declare.claims import Claim, calendar_date
from lake.declare.received import received
from lakehouse_assets.feeds.repairs import repairs


@received(repairs, claim=Claim("repaired_on", calendar_date), fresh_within=timedelta(hours=12), owner="team:bicycles")
def repair_files() -> None:
    """One row per row of a file of the workshop."""
