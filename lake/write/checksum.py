"""Write the checksum file of a version.

It is an optional part of Delta's protocol that says how many files a table has. Spark writes one with each commit,
delta-rs writes none, and from a version without one Spark runs jobs to find out what it would have said. So whoever
commits through delta-rs to a table that Spark reads often writes it afterwards.

Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md#version-checksum-file
"""

from __future__ import annotations

import json
from typing import Any

from lake.storage.log import Log

__all__ = ["write_checksum"]

_EMPTY: dict[str, Any] = {
    "tableSizeBytes": 0, "numFiles": 0, "numMetadata": 1, "numProtocol": 1, "allFiles": [],
    "setTransactions": [], "domainMetadata": [],
}  # fmt: skip
_COUNTED_ANEW = ("allFiles", "histogramOpt", "fileSizeHistogram", "txnId")
"""Optional parts that would have to be carried on; Spark does without them."""
_MOST_COUNTED_ON = 100
"""Versions without a checksum, as a process leaves them that is killed before it writes one, or another writer."""


def write_checksum(log: Log, version: int) -> None:
    """Write the checksum file of a version that delta-rs committed.

    It counts on from the newest version before that has one.

    Args:
        log: of the table; nobody else may commit to it meanwhile.
        version: its newest.
    """
    actions: list[dict[str, Any]] = []
    for number in range(version, max(-1, version - _MOST_COUNTED_ON), -1):
        content = log.read_file(f"{number:020d}.json")
        if content is None:
            return
        actions = [*(json.loads(line) for line in content.splitlines() if line.strip()), *actions]
        before = _EMPTY if number == 0 else _read(log, number - 1)
        if before is not None:
            log.write_file(f"{version:020d}.crc", json.dumps(_after(before, actions)).encode())
            return


def _read(log: Log, version: int) -> dict[str, Any] | None:
    content = log.read_file(f"{version:020d}.crc")
    try:
        return None if content is None else json.loads(content)
    except ValueError:  # half written by a process that was killed
        return None


def _after(before: dict[str, Any], actions: list[dict[str, Any]]) -> dict[str, Any]:
    checksum = dict(before)
    for action in actions:
        for kind, change in action.items():
            if kind == "add":
                _count(checksum, 1, change["size"])
            elif kind == "remove":
                _count(checksum, -1, -change["size"])
            elif kind in ("protocol", "metaData"):
                checksum["metadata" if kind == "metaData" else kind] = change
            elif kind == "txn":
                checksum.pop("setTransactions", None)
    counts_files = any({"add", "remove"} & action.keys() for action in actions)
    return {name: value for name, value in checksum.items() if not (counts_files and name in _COUNTED_ANEW)}


def _count(checksum: dict[str, Any], files: int, size: int) -> None:
    checksum["numFiles"] += files
    checksum["tableSizeBytes"] += size
