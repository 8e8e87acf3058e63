"""Tell each address once of what began and once of what ended.

One address does not depend on another's answer. Every address has its own memory, kept in a sensor's cursor: of what it
has been told that still holds. An address that does not answer is tried again with the next tick and then told how
things stand; the others are not told again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Self

import apprise

__all__ = ["Memory", "Message", "Notifier", "Spell"]

_ALL = "*"
"""In a cursor of an older release: what every address was told."""


@dataclass(frozen=True)
class Message:
    """One message: `about` names what began, or with good news what ended."""

    title: str
    body: str
    about: AbstractSet[str]
    good_news: bool = False


Spell = Callable[[AbstractSet[str]], Iterable[Message]]
"""Puts into messages what began, or what ended."""


@dataclass
class Memory:
    """The news that each address has been told and that still hold.

    Attributes:
        told: by address; a hash of its URL stands for it, because the UI shows cursors and a URL may hold a token.
    """

    told: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, said: Any) -> Self:
        """Read what `dump` gave.

        A list, which an older release kept, is what every address was told.
        """
        by_address = {_ALL: said} if isinstance(said, list) else said or {}
        return cls({address: set(names) for address, names in by_address.items()})

    def dump(self) -> dict[str, list[str]]:
        """As JSON can hold it."""
        return {address: sorted(names) for address, names in sorted(self.told.items())}

    def of(self, url: str) -> set[str]:
        """Return what one address has been told, for a new one nothing."""
        return self.told.setdefault(_key(url), set(self.told.get(_ALL, ())))

    @property
    def names(self) -> set[str]:
        """All that some address was told."""
        return set().union(*self.told.values())

    def keep(self, urls: Iterable[str]) -> None:
        """Forget addresses that are no longer set."""
        kept = {_key(url): self.of(url) for url in urls}
        self.told = kept


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Notifier:
    """Sends messages to Apprise URLs (https://github.com/caronc/apprise/wiki)."""

    urls: Sequence[str]

    def tell(
        self,
        memory: Memory,
        holds: AbstractSet[str],
        began: Spell,
        ended: Spell,
        beside: AbstractSet[str] = frozenset(),
    ) -> set[str]:
        """Tell each address what it does not know yet, and note what it took.

        Args:
            memory: changed in place.
            holds: what is true now.
            began: the messages about what is new to an address.
            ended: likewise about what it was told and is no longer true.
            beside: addresses not to try, since they did not answer just now.

        Returns:
            The addresses that did not take a message, those beside included.
        """
        memory.keep(self.urls)
        silent = set(beside)
        for url in self.urls:
            known = memory.of(url)
            for message in [*began(holds - known), *ended(known - holds)] if url not in silent else []:
                if not _send(url, message):
                    silent.add(url)
                    break
                known.symmetric_difference_update(message.about)
        return silent


def _send(url: str, message: Message) -> bool:
    channel = apprise.Apprise()
    kind = apprise.NotifyType.SUCCESS if message.good_news else apprise.NotifyType.FAILURE
    return channel.add(url) and bool(channel.notify(title=message.title, body=message.body, notify_type=kind))
