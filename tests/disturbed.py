"""What a lake of disturbed messages must hold: the rows of the undisturbed source, and in quarantine what was broken.

The oracle computes the rows from the source's CSV files. The replay's manifest says which messages it broke or doubled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lake.batch.refresh import Receipt
from lake.testing.lakes import quarantined
from lake.write.store import DeltaStore
from tests.airline_lakes import TABLES, duckdb_over, manifest
from tests.end_to_end.oracle import ORACLE_TABLES, build_oracle

__all__ = ["COMPARED", "TOPICS", "Compared", "compared_with_the_csv"]

COMPARED = [name for name in TABLES if name in ORACLE_TABLES]
TOPICS = [("departures", "silver.departures"), ("arrivals", "silver.arrivals")]
"""Each topic, and the table that accepts or rejects its messages."""

NAMED_BY: Mapping[str, set[str]] = {
    "bad_json": {"json_errors:equal_to"},
    "wrong_type": {"json_errors:equal_to"},
    "missing_key_field": {f"{field}:not_null" for field in ("flight_date", "carrier", "flight", "origin")},
    "future_timestamp": {"report_lag_seconds:in_range"},
    "impossible_airport": {"origin:str_matches", "dest:str_matches"},
}
"""The rules that name each way in which a message is broken."""


@dataclass(frozen=True)
class Compared:
    """A lake and its oracle (the database `oracle`), on one DuckDB connection."""

    store: DeltaStore
    receipts: Mapping[str, Receipt]
    sql: duckdb.DuckDBPyConnection

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return self.sql.execute(query).fetchall()

    def number(self, query: str) -> object:
        [(value,)] = self.rows(query)
        return value

    def differences(self, table: str) -> list[tuple[object, ...]]:
        """A few rows that only the lake or only the oracle has."""
        names = ", ".join(TABLES[table].contract.stored_names)
        lake, oracle = f"SELECT {names} FROM {table}", f"SELECT {names} FROM oracle.{table}"
        return self.rows(
            f"(SELECT 'only in the lake', * FROM ({lake} EXCEPT ALL {oracle}) ORDER BY ALL LIMIT 3) UNION ALL "
            f"(SELECT 'only in the CSV', * FROM ({oracle} EXCEPT ALL {lake}) ORDER BY ALL LIMIT 3)"
        )

    def broken(self, topic: str) -> dict[tuple[object, object], str]:
        """How each message was broken, by partition and offset."""
        entries = manifest(self.store, "malformed", topic)
        return {(entry["partition"], entry["offset"]): entry["detail"] for entry in entries}

    def assert_quarantined(self, topic: str, table: str, at_least: int) -> None:
        """Quarantine holds exactly the broken messages, each for a reason that names how it was broken."""
        broken, rejected = self.broken(topic), quarantined(self.store, TABLES[table])

        assert len(broken) > at_least
        assert {(row["row"]["_partition"], row["row"]["_offset"]) for row in rejected} == set(broken)
        assert len(rejected) == len(broken) == self.receipts[table].total.rejected
        for row in rejected:
            kind = broken[row["row"]["_partition"], row["row"]["_offset"]]
            assert set(row["rules"]) & NAMED_BY[kind], (kind, row["rules"], row["raw"])
        assert set(Counter(broken.values())) == set(NAMED_BY)

    def assert_doubled_counted(self, topic: str, table: str) -> None:
        """Every doubled message is counted as a duplicate."""
        assert self.receipts[table].total.duplicates == len(manifest(self.store, "duplicate", topic))

    def assert_came_late(self, at_least: int) -> None:
        """Messages came late, by up to ten days, and still lie in the days of their events."""
        days_late = self.rows("SELECT DISTINCT landed_on - event_date FROM bronze.departure_events")

        assert len(manifest(self.store, "late", "departures")) > at_least
        assert {row[0] for row in days_late} >= set(range(11))


@contextmanager
def compared_with_the_csv(
    store: DeltaStore, receipts: Mapping[str, Receipt], source: Path | None, database: Path
) -> Iterator[Compared]:
    """A lake beside what the oracle makes of the CSV files in a folder, or of those of the package."""
    with duckdb.connect(str(database)) as connection:
        build_oracle(connection, source)
    with duckdb_over(store) as connection:
        connection.execute(f"ATTACH '{database}' AS oracle (READ_ONLY)")
        yield Compared(store, receipts, connection)
