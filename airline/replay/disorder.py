"""Make messages come late, twice, or broken.

Every decision is drawn from a hash of seed, topic, flight and kind of disorder. So it does not depend on which days are
replayed, a larger share disturbs the same messages and more, and one kind does not change what another does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b

from airline.replay.errors import BadShare
from airline.replay.topics import Post, Report, as_json, as_utc

__all__ = ["BROKEN", "LONGEST_DISORDER", "Disorder"]

HOUR = timedelta(hours=1)
SHORTEST_LATENESS, LONGEST_LATENESS = HOUR, timedelta(days=10)
LONGEST_ECHO = 6 * HOUR
LONGEST_FUTURE = timedelta(days=3)
LONGEST_DISORDER = timedelta(days=11)
"""By how much disorder moves a message at most, in whole landing days: late by 10 days, then sent again."""

KEY_FIELDS = ("flight_date", "carrier", "flight", "origin")
NO_AIRPORTS = ("XX", "jfk", "J?K", "LONG", "1B2", "")
BROKEN_COPY, INTACT, ECHO = 0, 1, 2


class Draw:
    """Numbers that are the same whenever the same things are named."""

    def __init__(self, *names: object) -> None:
        digest = blake2b("|".join(map(str, names)).encode(), digest_size=24).digest()
        self._numbers = [int.from_bytes(digest[start : start + 8]) for start in (0, 8, 16)]

    @property
    def chance(self) -> float:
        """A number from 0 up to, not including, 1."""
        return (self._numbers[0] >> 11) / 2**53

    def choose(self, count: int) -> int:
        """Return a number from 0 to count - 1."""
        return self._numbers[1] % count

    def pick(self, count: int) -> int:
        """Return another such number, independent of `choose`."""
        return self._numbers[2] % count

    def span(self, shortest: timedelta, longest: timedelta) -> timedelta:
        """Return a number of whole seconds between the two, both included."""
        least = int(shortest.total_seconds())
        return timedelta(seconds=least + self.pick(int(longest.total_seconds()) - least + 1))


@dataclass(frozen=True)
class Disorder:
    """The shares of messages that are late, double or broken.

    They are shares of the messages of each topic, by default none.

    Attributes:
        late: are sent 1 hour to 10 days later.
        duplicates: are sent once more, up to 6 hours after the first, with the same key and value.
        malformed: are preceded by a broken copy, like that of a sender who tries again. The message itself is intact.
        seed: another seed disturbs other messages.
    """

    late: float = 0
    duplicates: float = 0
    malformed: float = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("late", "duplicates", "malformed"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadShare(name, getattr(self, name))

    @property
    def longest_days(self) -> int:
        """The number of days by which disorder delays a message at most.

        So long after the last undisturbed landing day something may still land.
        """
        return LONGEST_DISORDER.days if self.late or self.duplicates else 0

    def posts(self, report: Report) -> Iterator[Post]:
        """Give everything that is sent for one report.

        That is the message, and what disorder adds to it.
        """
        sent_at, undisturbed = report.sent_at, report.sent_at.date()
        injected = None
        if draw := self._draw("late", self.late, report):
            delay = draw.span(SHORTEST_LATENESS, LONGEST_LATENESS)
            sent_at, injected = sent_at + delay, ("late", f"by {delay}")
        intact = Post(sent_at, report.key, INTACT, as_json(report.value), report.topic, undisturbed, injected)
        yield intact
        if draw := self._draw("duplicate", self.duplicates, report):
            delay = draw.span(timedelta(seconds=1), LONGEST_ECHO)
            yield intact._replace(sent_at=sent_at + delay, copy=ECHO, injected=("duplicate", f"after {delay}"))
        if draw := self._draw("malformed", self.malformed, report):
            kind = list(BROKEN)[draw.choose(len(BROKEN))]
            value = BROKEN[kind](report._replace(sent_at=sent_at), draw)
            yield intact._replace(copy=BROKEN_COPY, value=value, injected=("malformed", kind))

    def _draw(self, kind: str, share: float, report: Report) -> Draw | None:
        """Return the draw of a kind of disorder, if it befalls this report."""
        if not share:
            return None
        draw = Draw(self.seed, report.topic, report.key, kind)
        return draw if draw.chance < share else None


def _bad_json(report: Report, draw: Draw) -> str:
    """Cut the text off somewhere in its second half."""
    text = as_json(report.value)
    return text[: len(text) // 2 + draw.pick(len(text) // 2 - 1)]


def _wrong_type(report: Report, draw: Draw) -> str:
    """Put letters into the flight number.

    It is text where a number belongs.
    """
    letter = "ABCDEFGH"[draw.pick(8)]
    return as_json({**report.value, "flight": f"{report.value['flight']}{letter}"})


def _missing_key_field(report: Report, draw: Draw) -> str:
    """Leave out one of the fields that identify the flight."""
    missing = KEY_FIELDS[draw.pick(len(KEY_FIELDS))]
    return as_json({name: value for name, value in report.value.items() if name != missing})


def _future_timestamp(report: Report, draw: Draw) -> str:
    """Put the event 1 hour to 3 days after its message."""
    return as_json({**report.value, report.event: as_utc(report.sent_at + draw.span(HOUR, LONGEST_FUTURE))})


def _impossible_airport(report: Report, draw: Draw) -> str:
    """Replace origin or destination by a code that no airport has."""
    place, code = divmod(draw.pick(2 * len(NO_AIRPORTS)), len(NO_AIRPORTS))
    return as_json({**report.value, ("origin", "dest")[place]: NO_AIRPORTS[code]})


BROKEN = {
    "bad_json": _bad_json,
    "wrong_type": _wrong_type,
    "missing_key_field": _missing_key_field,
    "future_timestamp": _future_timestamp,
    "impossible_airport": _impossible_airport,
}
"""The ways in which a copy is broken, each of which the contracts of silver refuse."""
