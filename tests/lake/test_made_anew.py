"""An input that was made anew counts its versions from zero again. Needs no JVM."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.ownership.ledger import Entry, Ledger
from lake.write.store import Txn
from tests.lakes import without_spark
from tests.tiny import day_of, mark_files, marks

D1 = day_of(1)


@pytest.mark.parametrize(("read", "is_stale"), [(1, False), (5, True)], ids=["read as it is", "was at version 5"])
def test_a_day_computed_from_a_later_version_than_its_input_has_is_stale(
    tmp_path: Path, read: int, is_stale: bool
) -> None:
    store = without_spark(tmp_path)
    line = {"line": "x", "file": "a", "line_number": 1, "landed_on": D1, "event_date": D1}
    mark = {"name": "a", "day": D1, "points": 1}
    for table, row in ((mark_files, line), (marks, mark)):
        rows = pa.Table.from_pylist([row], schema=table.contract.arrow_schema)
        store.append(table, rows, Txn("test", 0), {})
    entry = Entry(marks.full_name, D1, "written", 1, 1, 0, 0, {mark_files.full_name: read}, 1, marks.code_version, 0.1)
    Ledger(store).record([entry])
    stale = Survey([mark_files, marks], store, Days.of(D1)).states[marks.full_name].stale
    assert set(stale) == ({D1} if is_stale else set())
