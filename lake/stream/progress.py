"""Keep receipts of micro-batches and a status file for each query.

The receipts are a Delta table, `lake/micro_batches`. Each is a line in a file first, and some at a time are committed;
a crash between the two, or in a micro-batch, leaves one twice, and the first counts. The status file says how the
query is doing now, to `lakehouse status` and the sensors. Needs no JVM.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lake.declare.landed import SHOWN
from lake.errors import STREAM_RUNBOOK
from lake.storage.commits import Commit
from lake.storage.durable import append_line, write_whole
from lake.storage.log import Log
from lake.storage.sequence import in_sequence, oldest_first
from lake.write.enforce import Counts
from lake.write.store import DeltaStore

__all__ = [
    "MicroBatch",
    "Receipts",
    "StreamStatus",
    "committed_before",
    "describe_unread_files",
    "micro_batches",
    "read_statuses",
    "write_status",
]

_NAME = "micro_batches"

SCHEMA = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("generation", pa.int64(), nullable=False),
        pa.field("batch_id", pa.int64(), nullable=False),
        pa.field("rows_in", pa.int64(), nullable=False),
        pa.field("rows_out", pa.int64(), nullable=False),
        pa.field("rejected", pa.int64(), nullable=False),
        pa.field("duplicates", pa.int64(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("sequence", pa.int64()),
    ]
)
"""Columns of the receipts; `sequence`, the version whose commit wrote a row, is null where an older release did."""

State = Literal["running", "stopped", "failed"]


@dataclass(frozen=True)
class MicroBatch:
    """The receipt of one micro-batch.

    Attributes:
        table: `layer.name`.
        generation: of the table's stream.
        batch_id: its number within the generation; the first replaced the open days.
        counts: rows in = rows out + rejected + duplicates; a row whose key the table held already is a duplicate.
        version: version of the table after it.
        seconds: how long it took.
        recorded_at: when, UTC.
    """

    table: str
    generation: int
    batch_id: int
    counts: Counts
    version: int
    seconds: float
    recorded_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def is_of(self, commit: Commit) -> bool:
        """Tell whether this micro-batch made a commit.

        One without news makes none, and the newest commit may be anybody's.
        """
        said = commit.metadata
        return (said.get("generation"), said.get("batch")) == (self.generation, self.batch_id)


def committed_before(log: Log, generation: int, batch_id: int) -> Commit | None:
    """Return what a repeated micro-batch had committed before.

    Only its commits know which rows were new then.
    """
    committed, newest = None, log.version()
    for version in range(-1 if newest is None else newest, -1, -1):
        commit = log.commit(version)
        if commit is None:
            break
        said = commit.metadata
        if said.get("generation") != generation or said.get("batch", batch_id) > batch_id:
            continue
        if said["batch"] < batch_id:
            break
        committed = commit if committed is None else commit.joined(committed)
    return committed


class Receipts:
    """Receipts on their way to their table.

    Args:
        store: whose table.
        folder: where they wait, in files; a process that was killed leaves them there for the next.
    """

    def __init__(self, store: DeltaStore, folder: Path) -> None:
        self.store = store
        self._waiting = folder / "receipts.jsonl"
        self._lock = threading.Lock()

    def add(self, receipt: MicroBatch) -> None:
        """Keep a receipt.

        From here on it survives this process, and a power cut.
        """
        row = {**asdict(receipt), **asdict(receipt.counts), "recorded_at": receipt.recorded_at.isoformat()}
        del row["counts"]
        with self._lock:
            append_line(self._waiting, json.dumps(row))

    def commit(self) -> None:
        """Move the receipts that wait into the table, in one commit."""
        with self._lock:
            lines = self._waiting.read_text(errors="replace").splitlines() if self._waiting.is_file() else []
            rows = [row for line in lines if (row := _whole(line)) is not None]
            if rows:
                self.store.append_to_lake(_NAME, lambda version: in_sequence(rows, version, SCHEMA))
            self._waiting.unlink(missing_ok=True)


def _whole(line: str) -> dict[str, Any] | None:
    """Return a line as a row, or None for a broken one.

    The process was killed, or the disk full, in the middle of such a line.
    """
    try:
        row: dict[str, Any] = json.loads(line)
        return {**row, "recorded_at": datetime.fromisoformat(row["recorded_at"])}
    except (ValueError, TypeError, KeyError):
        return None


def micro_batches(store: DeltaStore) -> list[MicroBatch]:
    """Return the first receipt of every micro-batch, oldest first.

    A repeat after a crash finds what the first had written.
    """
    found = store.rows_in_lake(_NAME)
    if found is None:
        return []
    rows = found.take(oldest_first(found)).to_pylist()
    first: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        first.setdefault((row["table"], row["generation"], row["batch_id"]), row)
    return [_from_row(row) for row in first.values()]


def _from_row(row: Mapping[str, Any]) -> MicroBatch:
    counts = Counts(row["rows_in"], row["rows_out"], row["rejected"], row["duplicates"])
    kept = ("table", "generation", "batch_id", "version", "seconds", "recorded_at")
    return MicroBatch(counts=counts, **{name: row[name] for name in kept})


@dataclass
class StreamStatus:
    """The state and the counts of one query.

    Attributes:
        table: `layer.name`.
        state: running, stopped (asked to, or drained), failed.
        generation: of the table's stream.
        pid: process that runs it.
        batch_id: the newest finished micro-batch; -1 before the first.
        batches: micro-batches since the process started.
        rows_in: candidate rows since the process started; likewise the other three counts.
        rows_per_second: of the newest micro-batch with rows.
        watermark: event time before which its state is closed; None without state.
        newest_event_at: newest event time that it has read; None where its inputs have none.
        first_open: the first day that it writes.
        lag_messages: messages of its topic not read yet; None where the source cannot say.
        lag_seconds: from the newest event that it has read to the moment of reading.
        last_batch_at: when the newest micro-batch with rows ended.
        busy_since: when the micro-batch under way was first seen; None between two.
        seen_at: when this file was written; the process writes it every few seconds even when nothing arrives.
        last_error: why it failed.
        unread_files: files that cannot be read, by path, with the reason; it goes on without them.
    """

    table: str
    state: State = "running"
    generation: int = 0
    pid: int = 0
    batch_id: int = -1
    batches: int = 0
    rows_in: int = 0
    rows_out: int = 0
    rejected: int = 0
    duplicates: int = 0
    rows_per_second: float = 0.0
    watermark: str | None = None
    newest_event_at: str | None = None
    first_open: str | None = None
    lag_messages: int | None = None
    lag_seconds: float | None = None
    last_batch_at: str | None = None
    busy_since: str | None = None
    seen_at: str | None = None
    last_error: str | None = None
    unread_files: dict[str, str] = field(default_factory=dict)

    @property
    def known_watermark(self) -> str | None:
        """The watermark, once there is one: before the first event Spark says 1970."""
        return None if (self.watermark or "1970").startswith("1970") else self.watermark

    def add(self, receipt: MicroBatch) -> None:
        """Count a finished micro-batch."""
        counts = receipt.counts
        self.busy_since = None
        self.batch_id = receipt.batch_id
        self.batches += 1
        self.rows_in += counts.rows_in
        self.rows_out += counts.rows_out
        self.rejected += counts.rejected
        self.duplicates += counts.duplicates
        self.last_batch_at = receipt.recorded_at.isoformat()
        if counts.rows_in:
            self.rows_per_second = round(counts.rows_in / max(receipt.seconds, 0.001), 1)

    def note_busy(self, *, is_busy: bool) -> None:
        """Remember since when a micro-batch is under way."""
        if not is_busy:
            self.busy_since = None
        elif self.busy_since is None:
            self.busy_since = datetime.now(UTC).isoformat()


def describe_unread_files(files: Mapping[str, str]) -> str:
    """Count files that cannot be read, and say what to do."""
    shown = ", ".join(f"{path} ({why})" for path, why in list(files.items())[:SHOWN])
    more = f" and {len(files) - SHOWN:,} more" if len(files) > SHOWN else ""
    counted = "1 file that cannot be read" if len(files) == 1 else f"{len(files):,} files that cannot be read"
    return (
        f"{counted}: {shown}{more}; send them again or mend them, then start lakehouse follow again: it reads all anew "
        f"({STREAM_RUNBOOK}, 'A file cannot be read')"
    )


def write_status(folder: Path, status: StreamStatus) -> None:
    """Write the status file, in one step."""
    status.seen_at = datetime.now(UTC).isoformat()
    # Twice a second and query, for who looks now: not worth a wait for the disk.
    write_whole(folder / f"{status.table}.json", json.dumps(asdict(status), indent=1), flush=False)


def read_statuses(folder: Path) -> dict[str, StreamStatus]:
    """Read the status of every query that ever ran, by `layer.name`.

    Files that cannot be read are passed over.
    """
    statuses: dict[str, StreamStatus] = {}
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            status = StreamStatus(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        statuses[status.table] = status
    return statuses
