"""Messages about rides, exactly as received."""

from datetime import timedelta

from lake.declare.claims import Claim
from lake.declare.received import received
from lakehouse_assets.feeds.rides import rides


@received(rides, claim=Claim("ended_at"), fresh_within=timedelta(hours=2), owner="team:bicycles")
def ride_events() -> None:
    """One row per message on the topic `rides`."""
