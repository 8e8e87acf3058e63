"""Notice that a stream's own table was restored or made anew.

It looks while the stream runs, without a JVM. RESTORE takes rows away that the stream has written and its checkpoint
counts as read, so nobody would write them again before the next start.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from lake.errors import TableRestored
from lake.storage.log import Log

__all__ = ["OwnTable"]


@dataclass
class OwnTable:
    """The table of one query.

    Attributes:
        name: `layer.name`.
        log: of it.
        seen: its id and version when it was looked at last; None before.
    """

    name: str
    log: Log
    seen: tuple[str | None, int] | None = None
    _looking: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def refuse_changed(self) -> None:
        """Raise where the table is not what the stream has written.

        Raises:
            TableRestored: it was restored to an earlier version, or another table lies in its place.
        """
        with self._looking:  # its query and the driver both look
            version = self.log.version()
            now = (self.log.table_id(), -1 if version is None else version)
            before = self.seen or now
            if now[0] != before[0] or now[1] < before[1]:
                raise TableRestored(self.name)
            if (restored := self.log.restored(before[1], now[1])) is not None:
                raise TableRestored(self.name, restored)
            self.seen = now
