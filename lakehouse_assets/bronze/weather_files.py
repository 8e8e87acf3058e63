"""Weather lines, exactly as received."""

from datetime import timedelta

from lake.declare.claims import Claim
from lake.declare.received import received
from lakehouse_assets.feeds.weather import weather


@received(weather, claim=Claim("observed_at"), fresh_within=timedelta(hours=2), owner="team:operations")
def weather_files() -> None:
    """One row per line of an hourly weather file, about a UTC day."""
