"""Two batch-only tables that are computed early beside streams, one of the other, and what they must hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.batch.early import compute_early
from lake.declare.contract import Contract, Field
from lake.declare.days import Days
from lake.declare.table import Replace, Table, table
from lake.stream.early import Early
from lake.testing.lakes import Row, stored_rows
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore
from tests.tiny_topics import FACTS, call_events, calls
from tests.tiny_topics import answers as answers_when_sealed

__all__ = ["EARLY", "STREAMS", "answers", "call", "early_in", "expected", "held", "totals"]

JAN_1 = date(2013, 1, 1)
answers = replace(answers_when_sealed, early_every=timedelta(milliseconds=200))


class AnswerTotals(Contract):
    """A day with calls."""

    called_on: T.DateType = Field(description="UTC day of the calls")
    times: T.LongType = Field(description="answers of that day and the day before, added up")


@table(
    reads=[answers.days(before=1)],
    contract=AnswerTotals,
    key=["called_on"],
    day="called_on",
    write=Replace(),
    layer="gold",
    early_every=timedelta(milliseconds=200),
    **FACTS,
)
def answer_totals(answers: DataFrame) -> DataFrame:
    """One row per day with calls."""
    both = F.explode(F.array("called_on", F.date_add("called_on", 1))).alias("on")
    totals = answers.select(both, "called_on", "times").groupBy("on")
    found = totals.agg(F.sum("times").alias("times"), F.max(F.col("on") == F.col("called_on")).alias("_has_own"))
    return found.where("_has_own").select(F.col("on").alias("called_on"), "times")


totals = answer_totals
STREAMS = [call_events, calls]
EARLY = [answers, totals]


def call(number: int, caller: str, at: datetime, *, sent: datetime | None = None) -> dict[str, Any]:
    """A message about a call, under the offset of its number."""
    moment = (sent or at).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    value = f'{{"number": {number}, "caller": "{caller}", "at": "{at:%Y-%m-%dT%H:%M:%SZ}"}}'
    return {
        "key": caller, "value": value, "topic": "calls", "partition": 0, "offset": number, "timestamp": moment,
    }  # fmt: skip


def early_in(store: DeltaStore, now: Callable[[], datetime], tables: Iterable[Table] = EARLY) -> Early:
    """Let batch compute early days of both tables, of a calendar that ends with the clock."""

    def compute(one: Table, patience: float | None) -> Any:
        whole = Days.between(JAN_1 - timedelta(days=3), date(2013, 12, 31))
        came = Days.between(whole.start, now().astimezone(UTC).date())
        return compute_early(one, store, came, Horizon(now(), whole), patience=patience)

    return Early(list(tables), compute)


def expected(store: DeltaStore) -> tuple[list[Row], list[Row]]:
    """What both tables must hold of the calls that bronze holds: worked out in this process, of the raw messages."""
    said = (json.loads(row["value"]) for row in stored_rows(store, call_events))
    made = {(one["number"], date.fromisoformat(one["at"][:10]), one["caller"]) for one in said}
    found = [
        {
            "number": number,
            "called_on": on,
            "times": sum(who == caller and timedelta(0) <= day - on <= timedelta(days=2) for _, day, who in made),
        }
        for number, on, caller in made
    ]
    days = Counter[date]()
    for row in found:
        for after in range(2):
            days[row["called_on"] + timedelta(days=after)] += row["times"]
    own = {row["called_on"] for row in found}
    rows = [{"called_on": day, "times": times} for day, times in days.items() if day in own]
    return sorted(found, key=repr), sorted(rows, key=repr)


def held(store: DeltaStore, table: Table) -> list[Row]:
    """The rows of a table; none where it was never written."""
    return [] if store.version(table) is None else stored_rows(store, table)
