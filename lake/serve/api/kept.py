"""Keep answers, to send them again without reading a row."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

__all__ = ["Answer", "KeptAnswers"]


@dataclass(frozen=True)
class Answer:
    """The body of an answer.

    Attributes:
        content: the rows.
        following: `after` of the next page; None on the last.
    """

    content: bytes
    following: str | None


class KeptAnswers:
    """The answers that were asked for last, as many as fit.

    An answer is kept under its address and its ETag. It never has to be thrown away because a table changed: that gives
    another ETag.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._lock = Lock()

    def find(self, address: str, etag: str) -> Answer | None:
        """Return the answer that was kept, if it still is."""
        with self._lock:
            found = self._kept.get((address, etag))
            if found is not None:
                self._kept.move_to_end((address, etag))
            return found

    def keep(self, address: str, etag: str, answer: Answer) -> None:
        """Keep an answer, and drop those that were not asked for longest."""
        with self._lock:
            if (address, etag) in self._kept or len(answer.content) > self._limit:
                return
            self._kept[address, etag] = answer
            self._size += len(answer.content)
            while self._size > self._limit:
                self._size -= len(self._kept.popitem(last=False)[1].content)
