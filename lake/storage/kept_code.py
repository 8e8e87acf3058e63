"""Keep between processes what a look has read of the code of tables.

To read the syntax of every table's code takes a thirtieth of a second. It is kept by a hash of the text, so that
what is kept is never that of another text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lake.declare.code_version import KEPT_TEXTS, READ_TEXTS, ReadText
from lake.storage.kept_facts import keep, kept

__all__ = ["keep_code"]

_NAME = "code"


@contextmanager
def keep_code() -> Iterator[None]:
    """Use what an earlier look has read, and keep what this one has.

    Within `keep_facts_in`.
    """
    KEPT_TEXTS.update(_kept())
    try:
        yield
    finally:
        if not READ_TEXTS.keys() <= KEPT_TEXTS.keys():
            keep(_NAME, READ_TEXTS)
        KEPT_TEXTS.clear()


def _kept() -> dict[str, ReadText]:
    try:
        return {key: ReadText(list(said[0]), list(said[1]), str(said[2])) for key, said in kept(_NAME).items()}
    except (AttributeError, TypeError, IndexError, KeyError):
        return {}
