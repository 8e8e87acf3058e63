"""Stations: the list of all stations, whenever it changes."""

from lake.declare.feed import SOME_DAYS, FileFeed

stations = FileFeed(
    name="stations",
    description="All stations, stations.jsonl: a JSON line each. The whole list lands when it has changed.",
    delivers=SOME_DAYS,
)
