"""Planes: the register of aircraft, as full copies."""

from lake.declare.feed import SOME_DAYS, FileFeed

planes = FileFeed(
    name="planes",
    description=(
        "The register of aircraft, planes.jsonl: a JSON line per tail number, always the full list. "
        "Lands on the 1st of each month."
    ),
    delivers=SOME_DAYS,
)
