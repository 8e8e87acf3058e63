"""Arrival messages: sent when a flight reaches the gate."""

from lake.declare.feed import EVERY_DAY, TopicFeed

arrivals = TopicFeed(
    name="arrivals",
    description=(
        "One message when a flight reaches the gate of its destination (on-block), keyed as its departure. "
        "A cancelled or diverted flight sends none. Usually within minutes; messages up to 30 days late are taken."
    ),
    delivers=EVERY_DAY,
)
