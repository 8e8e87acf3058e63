"""Ask once whether an object store answers.

Later it would be a traceback of many lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, PyFileSystem

from lake.errors import BucketMissing, LakeError, StorageRefused, StorageUnreachable
from lake.storage.location import scheme_of

__all__ = ["outage", "refuse_unreachable"]

_PATIENCE = {"max_retries": "2", "retry_timeout": "10s", "connect_timeout": "5s", "timeout": "20s"}
_REACHED: dict[str, Mapping[str, str]] = {}
"""Locations that have answered this process, with the options that they were asked by."""
_MARKUP = re.compile(r"\x1b\[[0-9;]*m|[\s↳]+")
_REFUSALS = ("403 Forbidden", "401 Unauthorized", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_ASKS_FOR_KEYS = ("169.254.169.254", "169.254.170.2", "credentials", "Credentials")


def refuse_unreachable(location: str, options: Mapping[str, str]) -> None:
    """Raise where an object store cannot be used.

    A process asks until it has answered once.

    Raises:
        StorageUnreachable: nothing answers there.
        StorageRefused: the keys are wrong, missing, or may not read.
        BucketMissing: there is no such bucket.
    """
    if scheme_of(location) == "file" or _REACHED.get(location) == options:
        return
    if (problem := _problem(location, options)) is not None:
        raise problem
    _REACHED[location] = options


def outage() -> LakeError | None:
    """Return why a store that has answered this process no longer does.

    None where each does.
    """
    problems = (_problem(location, options) for location, options in _REACHED.items())
    return next((problem for problem in problems if problem is not None), None)


def _problem(location: str, options: Mapping[str, str]) -> LakeError | None:
    try:
        files = PyFileSystem(DeltaStorageHandler(location, {**_PATIENCE, **options}))
        files.get_file_info(FileSelector("", allow_not_found=True))
    except Exception as error:  # delta-rs raises what its layers happen to raise
        return _explained(location, _MARKUP.sub(" ", str(error)).strip())
    return None


def _explained(location: str, said: str) -> LakeError:
    code = re.search(r"<Code>(\w+)</Code>", said)
    message = re.search(r"<Message>([^<]*)</Message>", said)
    short = f"{code[1]}: {message[1]}" if code and message else said
    if code and code[1] == "NoSuchBucket":
        return BucketMissing(location)
    if any(word in said for word in (*_REFUSALS, *_ASKS_FOR_KEYS)):
        found_none = code is None and any(word in said for word in _ASKS_FOR_KEYS)
        return StorageRefused(location, "no keys were found" if found_none else short)
    return StorageUnreachable(location, *_where_and_why(short))


def _where_and_why(said: str) -> tuple[str, str]:
    """The address that was asked, without what was asked there, and the innermost cause."""
    asked = re.search(r"https?://[^/\s?]+", said)
    why = said.rpartition(" - ")[2] or said
    return asked[0] if asked else "", why[-200:]
