"""The clock of a lake whose messages are replayed to a broker."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airline.producing import clocked
from airline.replay.landing import LandingFolder
from airline.replay.topics import Message

START = datetime(2013, 1, 1, 10, 15, 20, tzinfo=UTC)


def sent(after: timedelta) -> Message:
    return Message("k", "{}", "departures", 0, 0, START + after)


def test_the_clock_shows_the_time_of_a_message_to_the_minute_before_it_is_sent(tmp_path: Path) -> None:
    """A lake rejects what is sent ten minutes after its clock, so that this may not lag behind the messages."""
    later = [timedelta(0), timedelta(seconds=59), timedelta(seconds=60), timedelta(seconds=90), timedelta(days=2)]
    shown = []
    for _ in clocked(map(sent, later), LandingFolder(tmp_path)):
        shown.append(json.loads((tmp_path / "_clock.json").read_text())["now"])
    first, second = "2013-01-01T10:15:20Z", "2013-01-01T10:16:20Z"
    assert shown == [first, first, second, second, "2013-01-03T10:15:20Z"]
