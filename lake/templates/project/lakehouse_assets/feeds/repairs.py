"""Repairs: a file a day from the workshop."""

from lake.declare.feed import EVERY_DAY, FileFeed
from lake.declare.formats import Csv

repairs = FileFeed(
    name="repairs",
    description="Repairs that the workshop has finished, repairs-YYYY-MM-DD.csv, with what each cost in euro cents.",
    delivers=EVERY_DAY,
    format=Csv(columns=("bicycle", "station", "part", "cents", "repaired_on")),
)
