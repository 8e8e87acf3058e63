"""Read the analyzed plan of a frame as text.

Spark shows a plan to Python in no other way than to print it.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from io import StringIO
from threading import Lock, get_ident
from typing import Any, TextIO, cast

from pyspark.sql import DataFrame

from lake.engine.settings_meanwhile import settings_meanwhile

__all__ = ["analyzed_plan"]

_HEADING, _NEXT_HEADING = "== Analyzed Logical Plan ==", "== Optimized Logical Plan =="
_SHOWN_IN_FULL = {"spark.sql.debug.maxToStringFields": "100000"}
"""Else Spark leaves out what comes after 25 columns, and their expressions."""
_ONE_AT_A_TIME = Lock()
"""The setting is the session's, and standard output the process's."""


class _Caught:
    """Keep what this thread prints.

    Other threads go on telling how far they are.
    """

    def __init__(self, others: TextIO) -> None:
        self.mine, self._others, self._thread = StringIO(), others, get_ident()

    def write(self, text: str) -> int:
        return (self.mine if get_ident() == self._thread else self._others).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


def analyzed_plan(rows: DataFrame) -> str:
    """Return the analyzed plan in full, without running a job."""
    with _ONE_AT_A_TIME, settings_meanwhile(rows.sparkSession, _SHOWN_IN_FULL):
        printed = _Caught(sys.stdout)
        with redirect_stdout(cast(TextIO, printed)):
            rows.explain(mode="extended")
    return printed.mine.getvalue().split(_HEADING)[1].split(_NEXT_HEADING)[0]
