"""Send events in the background.

A receiver that is down or slow costs a run nothing: events wait in memory, at most so many, and whoever sends them
does not wait. What goes wrong is said once, in one line.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Full, Queue
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lake.project.settings import Settings
from lake.storage.location import is_local

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

__all__ = ["MOST_WAITING", "Receiver", "Sender", "flush_all", "receiver_of", "sender_to"]

MOST_WAITING = 1000
"""So many events wait for a slow receiver; what comes while they do is dropped."""
ANSWERS_WITHIN_SECONDS = 2.0
ENDS_WITHIN_SECONDS = 5.0
"""How long a process waits at its end for a receiver that answers."""
_CONFIGURED_BY = ("OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT")
"""How the variables begin by which OpenLineage's own client is configured."""
_FILE = "openlineage.yml"

Events = Callable[[], "list[RunEvent]"]


@dataclass(frozen=True)
class Receiver:
    """Say where events go.

    Attributes:
        address: a URL, or the file to which events are appended; None where OpenLineage's own client knows it.
        key_from: the variable that holds the receiver's API key.
    """

    address: str | None = None
    key_from: str | None = None

    def __str__(self) -> str:
        """Name it without what may be secret."""
        if self.address is None:
            return "the receiver of OpenLineage's own configuration"
        url = urlsplit(self.address)
        port = f":{url.port}" if url.port else ""
        return self.address if is_local(self.address) else f"{url.scheme}://{url.hostname}{port}"

    def open(self) -> OpenLineageClient:
        """Make the client, which reads variables and files of OpenLineage too."""
        from openlineage.client import OpenLineageClient
        from openlineage.client.transport import get_default_factory

        if self.address is None:
            return OpenLineageClient()
        return OpenLineageClient(transport=get_default_factory().create(self._transport()))

    def _transport(self) -> dict[str, Any]:
        assert self.address is not None
        if is_local(self.address):
            Path(self.address).parent.mkdir(parents=True, exist_ok=True)
            return {"type": "file", "log_file_path": self.address, "append": True}
        key = os.environ.get(self.key_from) if self.key_from else None
        return {
            "type": "http",
            "url": self.address,
            "endpoint": os.environ.get("OPENLINEAGE_ENDPOINT", "api/v1/lineage"),
            "timeout": ANSWERS_WITHIN_SECONDS,
            "retry": {"total": 0, "connect": 0, "read": 0},
            **({"auth": {"type": "api_key", "apiKey": key}} if key else {}),
        }


def receiver_of(settings: Settings) -> Receiver | None:
    """Return where an environment sends events.

    None where it sends none. The setting wins over OpenLineage's own file and variables.
    """
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return None
    if settings.openlineage is not None:
        return Receiver(settings.openlineage, settings.openlineage_key_from)
    files = (Path(_FILE), Path.home() / ".openlineage" / _FILE)
    if any(name.startswith(_CONFIGURED_BY) for name in os.environ) or any(file.is_file() for file in files):
        return Receiver()
    url = os.environ.get("OPENLINEAGE_URL")
    return Receiver(url.strip(), "OPENLINEAGE_API_KEY") if url else None


class Sender:
    """Sends events to one receiver, in order and in a thread of its own.

    Args:
        receiver: where to.
        say: told once of each thing that goes wrong.
        most_waiting: so many wait.
    """

    def __init__(
        self, receiver: Receiver, say: Callable[[str], None] | None = None, most_waiting: int = MOST_WAITING
    ) -> None:
        self._receiver, self._say = receiver, say or _say
        self._waiting: Queue[Events] = Queue(most_waiting)
        self._settled, self._open, self._fails = Condition(), 0, False
        self._said: set[str] = set()
        Thread(target=self._work, name="OpenLineage", daemon=True).start()

    def send(self, events: Events) -> None:
        """Send what a function makes, which is called in the thread.

        So the client is imported there, and an event that cannot be made fails no run.
        """
        with self._settled:
            self._open += 1
        try:
            self._waiting.put_nowait(events)
        except Full:
            self._settle(fails=self._fails)
            self._tell("full", f"{self._waiting.maxsize:,} events wait for it, so others are dropped")

    def flush(self, within: float = ENDS_WITHIN_SECONDS) -> None:
        """Wait until all events are sent, for so many seconds at most.

        A receiver that has just failed is not waited for.
        """
        with self._settled:
            self._settled.wait_for(lambda: self._fails or not self._open, within)

    def _work(self) -> None:
        client: OpenLineageClient | None = None
        while True:
            events, fails = self._waiting.get(), False
            try:
                client = client or self._receiver.open()
                for event in events():
                    client.emit(event)
            except ImportError:
                fails = True
                self._tell("package", "a package is not here: pip install 'lakehouse[openlineage]'")
            except Exception as error:  # whatever goes wrong with an event, the run goes on
                fails = True
                self._tell("failed", _reason(error))
            self._settle(fails=fails)

    def _settle(self, *, fails: bool) -> None:
        with self._settled:
            self._open, self._fails = self._open - 1, fails
            self._settled.notify_all()

    def _tell(self, what: str, reason: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._say(f"OpenLineage: {self._receiver} does not get all events, and runs go on: {reason}")


def _reason(error: Exception) -> str:
    """Say what went wrong, without the text of an error.

    That may hold an address with its key.
    """
    status = getattr(getattr(error, "response", None), "status_code", None)
    return type(error).__name__ if status is None else f"it answered {status}"


def _say(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr, flush=True)


@cache
def sender_to(receiver: Receiver) -> Sender:
    """Return the sender of this process, which sends what waits before the process ends."""
    sender = Sender(receiver)
    _OPEN.append(sender)
    return sender


_OPEN: list[Sender] = []


@atexit.register
def flush_all() -> None:
    """Send what waits, before this process ends."""
    for sender in _OPEN:
        sender.flush()
