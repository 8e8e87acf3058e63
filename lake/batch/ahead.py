"""Compute the tables of a run two at a time.

One table by itself leaves processors idle: while its last task runs, while its commit goes to the disk, while somebody
records and checks it. Meanwhile the next one is computed, whose inputs are complete. A table that reads one which
failed is never begun. Who asks gets the tables one by one, in the order in which they ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import RLock, Semaphore, Thread

from lake.batch.refresh import Receipt
from lake.declare.table import Table

__all__ = ["Ahead", "Work", "ahead_of", "computing_ahead"]

_AT_ONCE = 2
"""More would not be faster, because Spark has a task for each core, and would take more memory."""
_MOST_AHEAD = 2
"""So many tables at most nobody has asked for yet: where the process is killed, Dagster does not hear of them."""
_ENDS_WITHIN_SECONDS = 3.0
"""A job ends sooner once it is interrupted. A wait for a lock does not, and dies with the process."""


@dataclass(frozen=True)
class Work:
    """Say how the tables of a run are computed.

    Attributes:
        compute: computes one.
        interrupt: makes those fail that are being computed.
    """

    compute: Callable[[Table], Receipt]
    interrupt: Callable[[], None]


@dataclass
class Ahead:
    """Compute the tables of one run.

    Attributes:
        tables: in the order in which they are asked for.
    """

    tables: Sequence[Table]
    _is_closed: bool = False
    _work: Work | None = None
    _begun: dict[Table, Future[Receipt]] = field(default_factory=dict)
    _taken: set[Table] = field(default_factory=set)
    _guard: RLock = field(default_factory=RLock)
    _slots: Semaphore = field(default_factory=lambda: Semaphore(_AT_ONCE))

    def take(self, table: Table, work: Work) -> Receipt:
        """Return the receipt of a table whose inputs are complete.

        Raises what its refresh raised; who asks again has it computed again.
        """
        if len(self.tables) < 2:
            return work.compute(table)
        with self._guard:
            self._work = work
            self._taken.add(table)
            self._begin(table)
            self._begin_others()
            mine = self._begun[table]
        try:
            return mine.result()
        except Exception:
            with self._guard:
                self._begun.pop(table, None)
            raise

    def close(self) -> None:
        """Begin no table any more, and interrupt those that are being computed."""
        with self._guard:
            self._is_closed, work = True, self._work
            running = [one for one in self._begun.values() if not one.done()]
        if work is not None and running:
            with suppress(Exception):  # the session is gone, and they end by themselves
                work.interrupt()
            wait(running, _ENDS_WITHIN_SECONDS)

    def refuse_if_closed(self) -> None:
        """Raise where nobody waits for the tables any more.

        Who waited for a lock until then must not begin.
        """
        if self._is_closed:
            raise RuntimeError("the run has ended")

    def _begin_others(self) -> None:
        with self._guard:
            for table in self.tables:
                if self._is_closed or len(self._begun.keys() - self._taken) >= _MOST_AHEAD:
                    return
                inputs = [source for source in table.inputs if source in self.tables]
                if table not in self._taken and all(map(self._is_complete, inputs)):
                    self._begin(table)

    def _is_complete(self, source: Table) -> bool:
        found = self._begun.get(source)
        return found is not None and found.done() and not found.exception() and not found.result().failed_days

    def _begin(self, table: Table) -> None:
        if table not in self._begun:
            future = self._begun[table] = Future[Receipt]()
            # A daemon, because a process that was stopped must not wait for another's lock.
            Thread(target=self._run, args=(table, future), name=f"refresh {table.full_name}", daemon=True).start()

    def _run(self, table: Table, future: Future[Receipt]) -> None:
        with self._slots:
            try:
                self.refuse_if_closed()
                assert self._work is not None, "somebody has asked for a table"
                future.set_result(self._work.compute(table))
            except BaseException as error:
                future.set_exception(error)
        self._begin_others()


_OF_RUNS: dict[str, Ahead] = {}


@contextmanager
def computing_ahead(run_id: str, tables: Sequence[Table]) -> Iterator[None]:
    """Compute the tables of a run ahead, for as long as the block lasts."""
    ahead = _OF_RUNS[run_id] = Ahead(tables)
    try:
        yield
    finally:
        del _OF_RUNS[run_id]
        ahead.close()


def ahead_of(run_id: str, table: Table) -> Ahead:
    """Return what computes the tables of a run.

    Where nobody computes them ahead, what computes this table alone.
    """
    return _OF_RUNS.get(run_id) or Ahead([table])
