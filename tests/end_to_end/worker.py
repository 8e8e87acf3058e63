"""A process of its own that refreshes tables: what the fault tests kill, race with, and send to other time zones.

`python -m tests.end_to_end.worker HOME '{"tables": [...], "ranges": [...], "times": 1}'` prints one line of JSON per
refresh: table, days, version, and how many rows went in and out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lake.batch.refresh import refresh
from lake.declare.days import Days
from lake.engine.session import build_session
from lake.testing.lakes import FEW_ROWS, open_lake
from tests.airline_lakes import TABLES
from tests.tiny import mark_files, marks, totals

KNOWN = {**TABLES, **{table.full_name: table for table in (mark_files, marks, totals)}}


def main(home: Path, task: dict[str, list[str]], times: int) -> None:
    store = open_lake(home, build_session(app_name="worker", master="local[2]", extra_conf=FEW_ROWS))
    print("ready", flush=True)
    for table in [KNOWN[name] for name in task["tables"]] * times:
        for days in map(Days.parse, task["ranges"] if table.day else task["ranges"][:1]):
            receipt = refresh(table, store, days)
            total = receipt.total
            print(json.dumps([table.full_name, str(days), receipt.version, total.rows_in, total.rows_out]), flush=True)


def run(arguments: Sequence[str]) -> None:
    home, text = arguments
    asked = json.loads(text)
    main(Path(home), asked, int(asked.get("times", 1)))


if __name__ == "__main__":
    run(sys.argv[1:])
