"""Find inputs that a stream cannot go on reading.

They were made anew or restored to an earlier version. A stream reads what an input's commits add. A table that was made
anew has other commits under the same numbers. RESTORE adds files again whose rows were read before, and takes others
away without a word. In both cases the stream has to begin anew: its first micro-batch reads the open days as they are,
and replaces its own. Needs no JVM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lake.declare.table import Table, stream_reads
from lake.errors import InputRestored
from lake.ownership.frontier import Frontier
from lake.storage.log import Log
from lake.storage.offsets_files import versions_read
from lake.storage.store_path import AnyPath
from lake.stream.generation import Checkpoints, StreamPlan
from lake.write.store import DeltaStore

__all__ = ["StreamInputs", "find_other_inputs"]


@dataclass(frozen=True)
class StreamInputs:
    """The tables that one query reads as a stream.

    Attributes:
        table: `layer.name` of the table that the query writes.
        inputs: each input with its log.
        checkpoint: folder of the query; it says up to which version of each input a micro-batch read.
    """

    table: str
    inputs: Sequence[tuple[Table, Log]]
    checkpoint: AnyPath

    @classmethod
    def of(cls, table: Table, store: DeltaStore, checkpoint: AnyPath) -> StreamInputs:
        """Find the inputs of a table."""
        sources = [read.source for read in stream_reads(table) if isinstance(read.source, Table)]
        return cls(table.full_name, [(source, store.table_log(source)) for source in sources], checkpoint)

    def why_anew(self) -> str | None:
        """Return why the query cannot go on from its checkpoint, if so."""
        read = self.read_up_to(self._newest_finished())
        if read.keys() - self.by_id.keys():
            other = next(source.full_name for source, log in self.inputs if log.table_id() not in read)
            return f"{other} was made anew"
        for name, version in read.items():
            source, log = self.by_id[name]
            newest = log.version() or 0
            if newest < version:
                return f"{source.full_name} is at version {newest}, and was read up to {version}"
            if (restored := log.restored(version, newest)) is not None:
                return f"{source.full_name} was restored in version {restored}"
        return None

    def refuse_restored(self, batch_id: int) -> None:
        """Raise where a micro-batch reads over a RESTORE.

        The first one reads no commits but a whole version.

        Raises:
            InputRestored: it does.
        """
        starts = self.read_up_to(batch_id - 1) if self.inputs and batch_id > 0 else {}
        ends = self.read_up_to(batch_id) if starts else {}
        for name in starts.keys() & ends.keys() & self.by_id.keys():
            source, log = self.by_id[name]
            if (restored := log.restored(starts[name], ends[name])) is not None:
                raise InputRestored(self.table, source.full_name, restored)

    @cached_property
    def by_id(self) -> Mapping[str, tuple[Table, Log]]:
        """The inputs that are there, by their ids."""
        return {name: (table, log) for table, log in self.inputs if (name := log.table_id()) is not None}

    def _newest_finished(self) -> int:
        """Return the newest micro-batch that ended.

        The first where none has, because it reads the same version again.
        """
        ended = (int(file.name) for file in self.checkpoint.glob("commits/*") if file.name.isdigit())
        return max(ended, default=0)

    def read_up_to(self, batch_id: int) -> dict[str, int]:
        """Return the newest version read of each input, after a micro-batch.

        By the id of the input.
        """
        return versions_read(self.checkpoint / "offsets" / str(batch_id))


def find_other_inputs(
    plans: Iterable[StreamPlan], state: Frontier | None, checkpoints: Checkpoints, store: DeltaStore
) -> dict[str, str]:
    """Find the tables that an input forces to begin anew, with the reason."""
    generations = state.generations if state is not None else {}
    reasons: dict[str, str] = {}
    for plan in plans:
        name = plan.table.full_name
        folder = checkpoints.folder(plan, generations.get(name, 0))
        if (reason := StreamInputs.of(plan.table, store, folder).why_anew()) is not None:
            reasons[name] = reason
    return reasons
