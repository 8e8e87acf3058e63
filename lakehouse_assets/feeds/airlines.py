"""Airlines: carrier codes and names, as full copies."""

from lake.declare.feed import SOME_DAYS, FileFeed

airlines = FileFeed(
    name="airlines",
    description=(
        "Carrier codes and names, airlines.jsonl: a JSON line per carrier, always the full list. "
        "Lands on the 1st of each month."
    ),
    delivers=SOME_DAYS,
)
