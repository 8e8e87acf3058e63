"""Repairs: a file a day from the workshop."""

from lake.declare.feed import EVERY_DAY, FileFeed

repairs = FileFeed(
    name="repairs",
    description="Repairs that the workshop has finished, repairs-YYYY-MM-DD.csv: bicycle, station, part, cents.",
    delivers=EVERY_DAY,
)
