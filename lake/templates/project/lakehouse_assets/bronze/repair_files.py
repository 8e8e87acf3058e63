"""Lines of the workshop's files, exactly as received."""

from datetime import timedelta

from lake.declare.received import received
from lakehouse_assets.feeds.repairs import repairs


@received(repairs, fresh_within=timedelta(hours=12), owner="team:bicycles")
def repair_files() -> None:
    """One row per line of a file of the workshop."""
