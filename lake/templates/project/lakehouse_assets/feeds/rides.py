"""Rides: a message when a bicycle is locked again."""

from lake.declare.feed import EVERY_DAY, TopicFeed

rides = TopicFeed(
    name="rides",
    description="One JSON message when a rider locks a bicycle at a station. Usually within seconds; locks send late.",
    delivers=EVERY_DAY,
)
