"""Planes: the register of aircraft, as full copies."""

from lake.feed import FileFeed

planes = FileFeed(
    name="planes",
    description=(
        "The register of aircraft, planes.jsonl: a JSON line per tail number, always the full list. "
        "Lands on the 1st of each month."
    ),
)
