"""Say which times a lake believes: none after its clock, none outside its calendar.

Producers make up the times of their messages. Believed, one message of a host whose clock is ahead would close all days
until then. A transform knows neither clock nor calendar: the edge, batch or stream, tells whoever enforces a contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

from lake.declare.contract import CompiledContract, Rule
from lake.declare.days import ALL_DAYS, Days, utc_day
from lake.declare.graph import topics_of
from lake.declare.table import Table

__all__ = ["Filing", "Horizon", "Limits", "dated_by"]

_EPOCH, _MINUTE = datetime(1970, 1, 1, tzinfo=UTC), timedelta(minutes=1)


def dated_by(table: Table) -> str | None:
    """Find the column that dates a row, by its event or its message."""
    if table.event_time is not None:
        return table.event_time
    reads_topic = bool(table.topics)
    sent_at = table.contract.column("timestamp") if reads_topic else None
    return sent_at.name if sent_at is not None and isinstance(sent_at.dtype, T.TimestampType) else None


class Limits(NamedTuple):
    """Hold what the questions of clock and calendar depend on.

    A stream asks several times a second, and builds them anew only where these differ.

    Attributes:
        latest: time that is believed.
        today: day under which rows of other days are filed.
        calendar: days that its tables can have.
    """

    latest: datetime
    today: date
    calendar: Days


@dataclass(frozen=True)
class Horizon:
    """The times that are believed at one moment.

    Attributes:
        now: the lake's clock, the replay's in a replay; aware.
        calendar: the days that its tables can have, those to come included.
    """

    now: datetime
    calendar: Days = ALL_DAYS

    @property
    def today(self) -> date:
        """The clock's day, or the day of the calendar that is next to it."""
        return min(max(utc_day(self.now), self.calendar.start), self.calendar.last)

    def latest(self, table: Table) -> datetime:
        """Add to the clock what the topics of a table allow.

        The rest of that minute is believed too, because Spark compiles a question with a moment in it anew for every
        other moment. Asked to the microsecond, that cost a small micro-batch more than its rows.
        """
        allowed = [feed.ahead_at_most for _, feed in topics_of(table)]
        latest = self.now + max(allowed, default=timedelta(0))
        return latest + (_EPOCH - latest) % _MINUTE

    def limits(self, table: Table) -> Limits:
        """Return all that the questions to rows of a table depend on."""
        return Limits(self.latest(table), self.today, self.calendar)

    def rules(self, table: Table, *, is_filed: bool) -> CompiledContract:
        """Build the rules that clock and calendar add to a contract.

        Args:
            table: whose rows.
            is_filed: whether a row says under which day it is filed, whatever its own day is.
        """
        rules = []
        if is_filed and table.day is not None:
            rules.append(Rule(table.day, "in_calendar", self._in_calendar))
        if (dated := dated_by(table)) is not None:
            limit = (self.latest(table) - _EPOCH) // timedelta(microseconds=1)
            rules.append(Rule(dated, "not_after_clock", lambda value: F.unix_micros(value) <= F.lit(limit)))
        return CompiledContract(table.contract.name, (), tuple(rules))

    def in_reach(self, rows: DataFrame, table: Table) -> DataFrame:
        """Put rows about days outside the calendar under their landing day.

        Readers select rows of bronze by the day that these are about, and none has such a day: the row would be in
        bronze and nowhere else, without a word. Under its landing day a reader meets it, and rejects it.
        """
        if table.read_by is None or table.day is None or table.reads_by_own_day or self.calendar == ALL_DAYS:
            return rows
        about = F.col(table.read_by)
        return rows.withColumn(table.read_by, F.when(self._in_calendar(about), about).otherwise(F.col(table.day)))

    def is_believed(self, day: Column, table: Table) -> Column:
        """Ask whether a landing day lies in the calendar and not after the clock."""
        last = min(self.calendar.last, utc_day(self.latest(table)))
        return day.between(F.lit(self.calendar.start), F.lit(last))

    def _in_calendar(self, day: Column) -> Column:
        return day.between(F.lit(self.calendar.start), F.lit(self.calendar.last))


@dataclass
class Filing:
    """Files the rows of one table.

    Attributes:
        table: whose.
    """

    table: Table
    _built: tuple[Limits, Column] | None = field(default=None, init=False, repr=False)

    def __call__(self, rows: DataFrame, horizon: Horizon) -> DataFrame:
        """File rows that landed on no believable day under the clock's day.

        Batch is asked for days, so it files rows under these.
        """
        if not self.table.write.keeps_everything or "_event_date" not in rows.columns:
            return rows
        limits = horizon.limits(self.table)
        if self._built is None or self._built[0] != limits:
            day = F.col("_event_date")
            filed = F.when(horizon.is_believed(day, self.table), day).otherwise(F.lit(horizon.today))
            self._built = limits, filed
        return rows.withColumn("_event_date", self._built[1])
