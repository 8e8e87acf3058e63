"""Airports: where they lie and which time zone they keep, as full copies."""

from lake.declare.feed import SOME_DAYS, FileFeed

airports = FileFeed(
    name="airports",
    description=(
        "Airports with position, altitude and time zone, airports.jsonl: a JSON line per airport, always the full "
        "list. Lands on the 1st of each month. Four territorial destinations are missing; silver supplies them."
    ),
    delivers=SOME_DAYS,
)
