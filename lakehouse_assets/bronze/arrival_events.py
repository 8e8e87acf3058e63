"""Arrival messages, exactly as received."""

from datetime import timedelta

from lake.declare.claims import Claim
from lake.declare.received import received
from lakehouse_assets.feeds.arrivals import arrivals


@received(arrivals, claim=Claim("arrived_at"), fresh_within=timedelta(hours=2), owner="team:operations")
def arrival_events() -> None:
    """One row per message on the topic `arrivals`."""
