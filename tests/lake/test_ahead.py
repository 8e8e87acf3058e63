"""Tables of a run are computed two at a time, and never before what they read is complete."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from lake.batch.ahead import Ahead, Work, ahead_of, computing_ahead
from lake.batch.refresh import Receipt
from lake.declare.days import Days
from lake.declare.table import Read, Table
from lake.write.enforce import Counts
from tests.tiny import mark_files, marks, totals

DAY = date(2013, 1, 2)
OTHER = replace(mark_files, name="other_files")
READER = replace(marks, name="others", reads=(Read(OTHER),))
TABLES = [mark_files, OTHER, marks, READER, totals]


def receipt(table: Table, **facts: Any) -> Receipt:
    """Return the receipt of one written day."""
    outcomes: Mapping[date | None, Any] = {DAY: facts.pop("outcome", "written")}
    return Receipt(table.full_name, Days.of(DAY), {DAY: Counts()}, outcomes, {}, {}, 1, "code", 0.0)


@dataclass
class Machine:
    """Compute tables when it is told to, and note what was asked of it."""

    broken: Mapping[Table, Any] = field(default_factory=dict)
    held: Mapping[Table, threading.Event] = field(default_factory=dict)
    begun: list[Table] = field(default_factory=list)
    running: list[Table] = field(default_factory=list)
    most: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def compute(self, table: Table) -> Receipt:
        with self.changed:
            self.begun.append(table)
            self.running.append(table)
            self.most = max(self.most, len(self.running))
            self.changed.notify_all()
        try:
            if table in self.held:
                assert self.held[table].wait(10)
            if isinstance(self.broken.get(table), Exception):
                raise self.broken[table]
            return receipt(table, outcome=self.broken.get(table, "written"))
        finally:
            with self.changed:
                self.running.remove(table)

    def interrupt(self) -> None:
        for event in self.held.values():
            event.set()

    def await_begun(self, *tables: Table) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: set(tables) <= set(self.begun), 10), self.begun

    @property
    def work(self) -> Work:
        return Work(self.compute, self.interrupt)


def test_the_next_table_is_computed_before_it_is_asked_for() -> None:
    machine = Machine(held={mark_files: threading.Event()})
    with computing_ahead("run", TABLES):
        asked = threading.Thread(target=lambda: ahead_of("run", mark_files).take(mark_files, machine.work))
        asked.start()
        machine.await_begun(mark_files, OTHER)
        machine.held[mark_files].set()
        asked.join(10)
        for table in TABLES:
            assert ahead_of("run", table).take(table, machine.work).table == table.full_name

    assert sorted(table.name for table in machine.begun) == sorted(table.name for table in TABLES), "each once"
    assert machine.most == 2


def test_no_table_is_begun_before_what_it_reads_is_complete() -> None:
    held = {mark_files: threading.Event(), OTHER: threading.Event()}
    machine, ahead = Machine(held=held), Ahead(TABLES)
    threading.Thread(target=lambda: ahead.take(mark_files, machine.work), daemon=True).start()
    machine.await_begun(mark_files, OTHER)

    held[OTHER].set()
    machine.await_begun(READER)

    assert marks not in machine.begun
    held[mark_files].set()
    for table in TABLES:
        ahead.take(table, machine.work)
    assert machine.begun.index(totals) > machine.begun.index(marks) > machine.begun.index(READER)


@pytest.mark.parametrize("broken", [ValueError("broken on purpose"), "failed"], ids=["raised", "failed day"])
def test_nothing_is_computed_from_a_table_that_failed(broken: Any) -> None:
    machine, ahead = Machine({mark_files: broken}), Ahead(TABLES)
    if isinstance(broken, Exception):
        with pytest.raises(ValueError, match="broken on purpose"):
            ahead.take(mark_files, machine.work)
    else:
        assert ahead.take(mark_files, machine.work).failed_days == [DAY]

    ahead.take(OTHER, machine.work)
    ahead.take(READER, machine.work)
    ahead.close()

    assert set(machine.begun) == {mark_files, OTHER, READER}


def test_a_table_that_failed_is_computed_again_only_for_who_asks_again() -> None:
    machine, ahead = Machine({mark_files: ValueError("broken on purpose")}), Ahead(TABLES)
    with pytest.raises(ValueError, match="broken on purpose"):
        ahead.take(mark_files, machine.work)
    ahead.take(OTHER, machine.work)
    assert machine.begun.count(mark_files) == 1

    machine.broken = {}

    assert ahead.take(mark_files, machine.work).table == mark_files.full_name
    ahead.take(marks, machine.work)
    ahead.close()
    assert machine.begun.count(mark_files) == 2


def test_no_more_than_two_are_computed_at_once() -> None:
    alone = [replace(mark_files, name=f"files_{number}") for number in range(6)]
    machine = Machine(held={table: threading.Event() for table in alone})
    ahead = Ahead(alone)
    threading.Thread(target=lambda: ahead.take(alone[0], machine.work), daemon=True).start()
    with machine.changed:
        assert machine.changed.wait_for(lambda: len(machine.begun) == 2, 10)
    assert not threading.Event().wait(0.2)

    assert len(machine.begun) == 2
    ahead.close()


def test_it_does_not_run_away_from_who_records_the_tables() -> None:
    alone = [replace(mark_files, name=f"files_{number}") for number in range(6)]
    machine, ahead = Machine(), Ahead(alone)

    ahead.take(alone[0], machine.work)
    machine.await_begun(*alone[:3])
    assert not threading.Event().wait(0.2)

    assert len(machine.begun) == 3
    ahead.close()


def test_an_end_interrupts_what_is_computed_and_begins_nothing_more() -> None:
    held = {mark_files: threading.Event(), OTHER: threading.Event()}
    machine, ahead = Machine(held=held), Ahead(TABLES)
    threading.Thread(target=lambda: ahead.take(mark_files, machine.work), daemon=True).start()
    machine.await_begun(mark_files, OTHER)

    ahead.close()

    assert held[OTHER].is_set()
    assert machine.running == []
    assert set(machine.begun) == {mark_files, OTHER}
    with pytest.raises(RuntimeError, match="the run has ended"):
        ahead.refuse_if_closed()


def test_one_table_is_computed_by_who_asks() -> None:
    threads = []

    def compute(table: Table) -> Receipt:
        threads.append(threading.current_thread())
        return receipt(table)

    ahead_of("no such run", marks).take(marks, Work(compute, lambda: None))

    assert threads == [threading.current_thread()]
