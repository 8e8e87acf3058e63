"""Departure messages, exactly as received."""

from datetime import timedelta

from lake.declare.claims import Claim
from lake.declare.received import received
from lakehouse_assets.feeds.departures import departures


@received(departures, claim=Claim("departed_at"), fresh_within=timedelta(hours=2), owner="team:operations")
def departure_events() -> None:
    """One row per message on the topic `departures`."""
