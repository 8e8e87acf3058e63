"""Check that a side wrote what was sent, each message once.

It is checked before any latency counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from benchmarks.errors import SidesDiffer

__all__ = ["check_written", "rows_in_gold"]

GOLD = "gold/hourly_airport_performance"
EVENTS = {"departures": ("departure_events", "departed_at"), "arrivals": ("arrival_events", "arrived_at")}
SHOWN_ROWS = 3

OFFSETS = 'SELECT DISTINCT topic, "partition", "offset", "timestamp", key, value FROM {bronze}'
SAID = """
    SELECT key, (value ->> '$.{event}')::TIMESTAMPTZ AS moment, value ->> '$.dest' AS dest,
        value ->> '$.tail_number' AS tail_number
    FROM {bronze}
"""
STORED = """
    SELECT flight_date || '|' || carrier || '|' || flight || '|' || origin AS key, {event} AS moment, dest, tail_number
    FROM {silver}
"""
HOURS = """
    SELECT airport, date_trunc('hour', moment) AS hour_at, moment::DATE AS hour_on,
        sum(leaves)::BIGINT, sum(leaves * on_time)::BIGINT, sum(leaves * delay_minutes)::BIGINT,
        sum(1 - leaves)::BIGINT, sum((1 - leaves) * on_time)::BIGINT, sum((1 - leaves) * delay_minutes)::BIGINT,
        max(delay_minutes)
    FROM (
        SELECT origin AS airport, departed_at AS moment, delay_minutes, 1 AS leaves,
            (delay_minutes < 15)::INT AS on_time
        FROM departures
        UNION ALL
        SELECT dest, arrived_at, delay_minutes, 0, (delay_minutes < 15)::INT FROM arrivals
    )
    GROUP BY ALL
"""
GOLD_ROWS = """
    SELECT airport, hour_at, hour_on, departures, departures_on_time, departure_delay_minutes,
        arrivals, arrivals_on_time, arrival_delay_minutes, worst_delay_minutes
    FROM gold
"""


def check_written(side: str, tables: Path, sent: Mapping[str, int]) -> None:
    """Check bronze, silver and gold against the messages sent.

    Bronze has every message once, silver says what they say, gold is what silver adds up to.

    Args:
        side: whose tables.
        tables: the folder of its tables.
        sent: messages by topic.

    Raises:
        SidesDiffer: naming the first table that is not so.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for silver, (bronze, event) in EVENTS.items():
            connection.register(bronze, _dataset(tables / "bronze" / bronze))
            connection.register(silver, _dataset(tables / "silver" / silver))
            _check_count(connection, side, bronze, sent[silver])
            said, stored = SAID.format(event=event, bronze=bronze), STORED.format(event=event, silver=silver)
            _check_equal(connection, f"silver.{silver}", side, said, stored)
        connection.register("gold", _dataset(tables / GOLD))
        _check_equal(connection, "gold.hourly_airport_performance", side, HOURS, GOLD_ROWS)


def rows_in_gold(tables: Path) -> dict[str, int]:
    """Return how many messages of each topic gold counts now.

    Zero where it does not exist yet.
    """
    if not DeltaTable.is_deltatable(str(tables / GOLD)):
        return dict.fromkeys(EVENTS, 0)
    rows = DeltaTable(str(tables / GOLD)).to_pyarrow_table(columns=list(EVENTS))
    return {topic: sum(rows.column(topic).to_pylist()) for topic in EVENTS}


def _check_count(connection: duckdb.DuckDBPyConnection, side: str, bronze: str, sent: int) -> None:
    (rows,) = connection.execute(f"SELECT count(*) FROM {bronze}").fetchone() or (0,)
    (once,) = connection.execute(f"SELECT count(*) FROM ({OFFSETS.format(bronze=bronze)})").fetchone() or (0,)
    if (rows, once) != (sent, sent):
        what = f"{rows:,} rows, {once:,} different messages, {sent:,} messages sent"
        raise SidesDiffer(f"bronze.{bronze}", f"{side} and the producer", what)


def _check_equal(connection: duckdb.DuckDBPyConnection, table: str, side: str, expected: str, found: str) -> None:
    for one, other, what in ((expected, found, "lack"), (found, expected, "have instead")):
        rows = connection.execute(f"({one}) EXCEPT ALL ({other})").fetchall()
        if rows:
            raise SidesDiffer(table, f"{side} and its inputs", f"its rows {what} {len(rows):,}: {rows[:SHOWN_ROWS]}")


def _dataset(table: Path) -> object:
    return DeltaTable(str(table)).to_pyarrow_dataset()
