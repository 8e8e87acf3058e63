"""Departure messages: sent when a flight leaves the gate."""

from lake.declare.feed import EVERY_DAY, TopicFeed

departures = TopicFeed(
    name="departures",
    description=(
        "One message when a flight leaves the gate (off-block), keyed by flight date, carrier, flight and origin. "
        "A cancelled flight sends none. Usually within minutes; messages up to 30 days late are taken."
    ),
    delivers=EVERY_DAY,
)
