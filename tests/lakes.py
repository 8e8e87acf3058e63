"""Lakes without Spark, what the plan says of lakes, and what their logs say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from lake.batch.plan import Step, days_for, steps_of
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.table import Table
from lake.storage.commits import Commit
from lake.storage.landing import Landing
from lake.storage.log import Log
from lake.write.store import DeltaStore

__all__ = ["commits_since", "steps_for", "without_spark"]


def without_spark(root: Path) -> DeltaStore:
    """A store under `root` that must not start a session."""

    def refuse() -> SparkSession:
        raise AssertionError("a session was asked for")

    return DeltaStore(str(root / "tables"), Landing(root / "landing"), root / "locks", refuse)


def steps_for(survey: Survey, wanted: Sequence[Table], days: Days) -> list[Step]:
    """The steps that compute these days of some tables, and first those of their upstream tables that they need."""
    return steps_of(survey, days_for(survey, wanted, days))


def commits_since(log: Log, version: int, newest: int | None = None) -> list[Commit] | None:
    """The commits after `version` up to the newest, oldest first; None where the log no longer reaches back."""
    last = log.version() if newest is None else newest
    commits = [log.commit(number) for number in range(version + 1, (-1 if last is None else last) + 1)]
    return None if any(commit is None for commit in commits) else [c for c in commits if c is not None]
