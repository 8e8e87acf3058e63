"""Timetables: one file a day with the flights planned for the next day."""

from lake.declare.feed import EVERY_DAY, FileFeed

schedules = FileFeed(
    name="schedules",
    description=(
        "The timetable of one flight date, timetable-YYYY-MM-DD.jsonl: a JSON line per planned flight. "
        "Lands the day before the flight date."
    ),
    delivers=EVERY_DAY,
)
