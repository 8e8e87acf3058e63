"""Write a micro-batch into a table that keeps each key's newest row.

Nobody owns its days. The newest of some rows is the same in whatever order and how often they come. So a repeated
micro-batch, a generation that begins anew and a rebuild by batch in between cost work and never a row, as long as
nobody writes what a later version of the inputs has taken back: rows of sealed days come from batch alone, and batch
reads its inputs under the table's lock, when all that a stream has written came from no later version.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lake.storage.commits import Commit
from lake.stream.mode_writer import Batch, ModeWriter
from lake.write.enforce import Collected, Counts, Enforced
from lake.write.key_order import newer_than_held, with_held

__all__ = ["LatestWriter"]


@dataclass
class LatestWriter(ModeWriter):
    """Replace the row of a key by a newer one."""

    def takes_few(self, batch: Batch) -> bool:  # noqa: ARG002
        return True

    def write_few(self, rows: Collected, batch: Batch) -> Commit | None:
        log = self.store.table_log(self.table)
        since, newer = log.version(), newer_than_held(self.table, rows.accepted, log)
        if newer is None:
            return self._write_anew(self._frame(rows.accepted), batch)
        if not newer.num_rows:
            return None
        txn, said = self.txn("write", batch.number), self.metadata(batch.number)
        return self.store.upsert(self.table, newer, txn, said, since=since)

    def write(self, rows: Enforced, batch: Batch, *, fails: bool) -> Commit:
        return self._write_anew(rows.accepted(fail_on_reject=fails), batch)

    def _write_anew(self, rows: DataFrame, batch: Batch) -> Commit:
        """Write the whole table.

        It looks no keys up, because to do so for many keys in all files costs no less.
        """
        since, txn = self.store.version(self.table), self.txn("write", batch.number)
        newest = with_held(self.table, rows, self.store.read(self.table, version=since))
        return self.store.replace(self.table, newest, None, self.metadata(batch.number), txn=txn, since=since)

    def quarantine(self, rows: Enforced | Collected, counts: Counts, batch: Batch) -> None:
        """File the rejected rows that are not there yet.

        Some may be, because batch may have met them before.
        """
        store, txn = self.store, self.txn("quarantine", batch.number)
        if not counts.rejected or store.is_committed(store.quarantine_path(self.table), txn):
            return
        rejected, held = rows.rejected().alias("rejected"), store.read_quarantine(self.table).alias("held")
        same = [F.col(f"rejected.{name}").eqNullSafe(F.col(f"held.{name}")) for name in ("raw", "row")]
        store.append_quarantine(self.table, rejected.join(held, on=same, how="left_anti"), txn)
