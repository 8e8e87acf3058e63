"""Write the landing folder as the outside world does.

It has one folder per feed and UTC day. Every file appears whole or not at all: it is written under a name that begins
with a dot and then renamed. Writing a day again replaces its files, and removes those that the day no longer has.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from airline.replay.landing_day import Injected
from airline.replay.schedule import Flight, FlightKey
from airline.replay.topics import Message, Topic, as_json, as_utc
from lake.declare.days import parse_day
from lake.errors import FolderNotWritable
from lake.storage.durable import write_whole

__all__ = ["Every", "LandingFolder"]

Every = Literal["day", "hour"]

REFERENCE_FEEDS = ("planes", "airlines", "airports")
DELIVERED_LATE = "delivered-late"


class LandingFolder:
    """Writes landing files below `root`.

    Attributes:
        root: the folder.
        files: how many files landed; the clock is none of them.
        bytes: how large they are together.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = 0
        self.bytes = 0

    def folder(self, feed: str, day: date) -> Path:
        """Return the folder in which files of a feed land on a day."""
        return self.root / feed / f"landed_on={day}"

    def write_topic(self, topic: Topic, day: date, messages: Sequence[Message], every: Every) -> None:
        """Write the archive of a topic for a day.

        One file of the day, empty if nothing was received, or one per hour with messages.
        """
        files: defaultdict[str, list[str]] = defaultdict(list)
        if every == "day":
            files[f"{topic}.jsonl"] = [message.line for message in messages]
        else:
            for message in messages:
                files[f"{topic}-{message.timestamp:%H}.jsonl"].append(message.line)
        self._write_day(topic, day, files, f"{topic}.jsonl", f"{topic}-[0-9][0-9].jsonl")

    def write_timetable(self, day: date, timetable: Sequence[Flight]) -> None:
        """Write the timetable of the next local day.

        No file on a day after which nothing is scheduled.
        """
        lines = [as_json(_timetable_line(flight)) for flight in timetable]
        name = f"timetable-{day + timedelta(days=1)}.jsonl"
        self._write_day("schedules", day, {name: lines} if lines else {}, "timetable-*.jsonl")

    def write_weather(self, day: date, observations: Iterable[dict[str, Any]]) -> None:
        """Write one file per UTC hour, with a line per airport."""
        files: defaultdict[str, list[str]] = defaultdict(list)
        for observation in observations:
            observed_at = observation["observed_at"]
            files[f"{observed_at:%H}.jsonl"].append(as_json({**observation, "observed_at": as_utc(observed_at)}))
        self._write_day("weather", day, files, "[0-9][0-9].jsonl")

    def write_reference(self, feed: str, day: date, rows: Iterable[dict[str, Any]]) -> None:
        """Write all rows of a reference feed into one file."""
        self._write(self.folder(feed, day) / f"{feed}.jsonl", [as_json(row) for row in rows])

    def holds_reference_before(self, day: date, reference: Mapping[str, Iterable[dict[str, Any]]]) -> bool:
        """Tell whether the newest reference files before a day have these rows.

        Of every reference feed, it is the newest file that landed before this day.
        """
        return all(self._newest_reference(feed, day) == _content(rows) for feed, rows in reference.items())

    def _newest_reference(self, feed: str, before: date) -> bytes | None:
        landed = [day for day in self._days(feed) if day < before]
        file = self.folder(feed, max(landed)) / f"{feed}.jsonl" if landed else None
        return file.read_bytes() if file and file.is_file() else None

    def write_manifest(self, day: date, injected: Sequence[Injected]) -> None:
        """Write what disorder did to the messages that landed on a day.

        No file if it did nothing.
        """
        self._write_or_remove(self.manifest(day), [as_json(_manifest_line(entry)) for entry in injected])

    def manifest(self, day: date) -> Path:
        """Return the manifest of what a replay injected."""
        return self.root / "_manifest" / f"landed_on={day}.jsonl"

    def late_flights(self, day: date) -> list[FlightKey]:
        """Return the flights that were delivered late on a day.

        In the order of their delivery.
        """
        file = self.late_deliveries("departures", day)
        lines = file.read_bytes().splitlines() if file.exists() else []
        return [FlightKey.parse(json.loads(line)["key"]) for line in lines]

    def write_late_deliveries(self, day: date, topic: Topic, messages: Sequence[Message]) -> None:
        """Write messages that were delivered after the day was replayed.

        A replay of the day leaves their file alone.
        """
        self._write_or_remove(self.late_deliveries(topic, day), [message.line for message in messages])

    def late_deliveries(self, topic: Topic, day: date) -> Path:
        """Return the archive of messages that were delivered late on purpose."""
        return self.folder(topic, day) / f"{topic}-{DELIVERED_LATE}.jsonl"

    def write_late_manifest(self, day: date, injected: Sequence[Injected]) -> None:
        """Write the manifest of late deliveries, beside that of the replay."""
        file = self.manifest(day).with_suffix(f".{DELIVERED_LATE}.jsonl")
        self._write_or_remove(file, [as_json(_manifest_line(entry)) for entry in injected])

    def advance_clock(self, to: date | datetime) -> datetime:
        """Set the clock of the landing folder and return its time.

        It is set to a moment, or to the end of a day, unless it is later, and before anything lands that was sent until
        then: what is sent later than the clock of a lake is rejected there.
        """
        file = self.root / "_clock.json"
        now = to if isinstance(to, datetime) else datetime.combine(to + timedelta(days=1), datetime.min.time(), UTC)
        with suppress(OSError, ValueError, KeyError, TypeError):
            shown = datetime.fromisoformat(json.loads(file.read_text())["now"])
            if shown >= now:
                file.touch()  # its age says how long ago a replay ran
                return shown
        _place(file, f"{json.dumps({'now': as_utc(now)})}\n".encode())
        return now

    def _days(self, feed: str) -> list[date]:
        found = (self.root / feed).glob("landed_on=????-??-??")
        return sorted(parse_day(folder.name.removeprefix("landed_on=")) for folder in found)

    def _write_day(self, feed: str, day: date, files: Mapping[str, Sequence[str]], *own: str) -> None:
        """Write a day's files and remove the others whose names match `own`.

        Strange files stay.
        """
        folder = self.folder(feed, day)
        for name, lines in sorted(files.items()):  # they land in the order of their names
            self._write(folder / name, lines)
        # Old files go last: for a moment a message may be there twice, under the same offset, but never not at all.
        for stale in (file for pattern in own for file in list(folder.glob(pattern)) if file.name not in files):
            stale.unlink()

    def _write_or_remove(self, file: Path, lines: Sequence[str]) -> None:
        if lines:
            self._write(file, lines)
        else:
            file.unlink(missing_ok=True)

    def _write(self, file: Path, lines: Sequence[str]) -> None:
        content = _joined(lines)
        _place(file, content)
        self.files += 1
        self.bytes += len(content)


def _content(rows: Iterable[dict[str, Any]]) -> bytes:
    return _joined(as_json(row) for row in rows)


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _place(file: Path, content: bytes) -> None:
    try:
        write_whole(file, content, flush=False)  # a replay can be run again
    except OSError as error:
        raise FolderNotWritable(file.parent, error.strerror or str(error)) from error


def _timetable_line(flight: Flight) -> dict[str, Any]:
    return {
        **flight.identity,
        "scheduled_departure_at": as_utc(flight.scheduled_departure_at),
        "scheduled_arrival_at": as_utc(flight.scheduled_arrival_at),
        "distance_miles": flight.distance_miles,
    }


def _manifest_line(entry: Injected) -> dict[str, Any]:
    landed = entry.original_landed_on.isoformat()
    return {**entry._asdict(), "timestamp": as_utc(entry.timestamp, "milliseconds"), "original_landed_on": landed}
