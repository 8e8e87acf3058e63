"""Weather observations: one file an hour, a line per airport."""

from lake.declare.feed import EVERY_DAY, FileFeed

weather = FileFeed(
    name="weather",
    description=(
        "Hourly weather at the origins, HH.jsonl (HH is the UTC hour): a JSON line per airport; what was not measured "
        "is null. Lands on the UTC day of the observation."
    ),
    delivers=EVERY_DAY,
)
