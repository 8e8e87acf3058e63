"""Days that are held back because days of an input were not computed; no JVM."""

from __future__ import annotations

from dataclasses import replace

from lake.batch.held_back import held_back
from lake.declare.table import Read
from tests.tiny import day_of, mark_files, marks, totals

D1, D2, D3, D4 = (day_of(number) for number in range(1, 5))


def test_only_days_that_read_a_failed_day_are_held_back_directly_or_through_others() -> None:
    other = replace(mark_files, name="other")
    assert held_back([mark_files, other, marks, totals], {mark_files: {D2}}) == {
        mark_files: {D2},
        marks: {D2},
        totals: {D2, D3},  # a day reads the one before
    }
    assert held_back([mark_files, other, marks, totals], {other: {D2}}) == {other: {D2}}
    assert held_back([mark_files, marks, totals], {marks: {D1, D4}})[totals] == {D1, D2, D4, day_of(5)}


def test_a_table_without_days_is_computed_from_what_there_is() -> None:
    whole = replace(totals, name="whole", day=None, read_by=None, reads=(Read(marks),))
    assert held_back([mark_files, marks, whole], {mark_files: {D2}}) == {mark_files: {D2}, marks: {D2}}
