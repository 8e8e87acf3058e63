"""Lines of the list of stations, exactly as received."""

from datetime import timedelta

from lake.declare.received import received
from lakehouse_assets.feeds.stations import stations


@received(stations, fresh_within=timedelta(days=400), owner="team:bicycles")
def station_files() -> None:
    """One row per line of a list of stations."""
