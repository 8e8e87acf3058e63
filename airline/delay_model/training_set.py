"""Read the flights that a model learns from and is measured on.

They are features and outcomes as of a version of their tables, read without a JVM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
from deltalake import DeltaTable

from airline.delay_model.errors import TooFewFlights
from lake.declare.days import Days
from lake.declare.table import Table
from lake.write.store import DeltaStore
from lakehouse_assets.gold.flight_delay_features import LATE_FROM_MINUTES, flight_delay_features
from lakehouse_assets.gold.flight_delay_scores import NUMBERS, RATES
from lakehouse_assets.silver.flight_key import FLIGHT_KEY
from lakehouse_assets.silver.flights import flights

__all__ = ["Split", "TrainingSet", "read_training_set", "split_of"]

HELD_OUT_OF = 4
"""One day of so many is held out: the last ones."""
DAYS_AT_LEAST = 2 * HELD_OUT_OF
OUTCOME_KNOWN_AFTER = timedelta(days=2)


@dataclass(frozen=True)
class Split:
    """The flight dates of learning and of measuring.

    A model is measured on later dates than those it learns from.
    """

    learned: Days
    held_out: Days


@dataclass(frozen=True)
class TrainingSet:
    """Flights that left, with features and outcomes.

    Features are what was known two hours before, an outcome is whether a flight left late.

    Attributes:
        split: the flight dates.
        learned: flights of the earlier dates.
        held_out: flights of the later ones.
        features_version: version of gold.flight_delay_features that was read.
        flights_version: version of silver.flights that was read.
    """

    split: Split
    learned: pd.DataFrame
    held_out: pd.DataFrame
    features_version: int
    flights_version: int


def split_of(days: Sequence[date]) -> Split:
    """Hold out the last quarter of the days.

    Raises:
        TooFewFlights: there are less than eight days.
    """
    ordered = sorted(days)
    if len(ordered) < DAYS_AT_LEAST:
        raise TooFewFlights(len(ordered), DAYS_AT_LEAST)
    first_held_out = ordered[-(len(ordered) // HELD_OUT_OF)]
    return Split(Days(ordered[0], first_held_out), Days.between(first_held_out, ordered[-1]))


def read_training_set(
    store: DeltaStore,
    until: date,
    split: Split | None = None,
    *,
    features_version: int | None = None,
    flights_version: int | None = None,
) -> TrainingSet:
    """Read flights in the order of their keys.

    The order is fixed, because the same versions have to give the same rows in the same order.

    Args:
        store: the lake.
        until: today; flights of this day and the two before may still leave.
        split: the days; by default all that have features and outcomes, of which the last quarter is held out.
        features_version: of gold.flight_delay_features; the newest by default.
        flights_version: of silver.flights; the newest by default.

    Raises:
        TooFewFlights: there are not enough days.
    """
    chosen = split or split_of(_known_days(store, until))
    days = Days(chosen.learned.start, chosen.held_out.end)
    columns = list(dict.fromkeys([*FLIGHT_KEY, *NUMBERS, *(name for group in RATES.values() for name in group)]))
    features = _open(store, flight_delay_features, features_version)
    outcomes = _open(store, flights, flights_version)
    rows = _read(features, days, columns).merge(
        _read(outcomes, days, [*FLIGHT_KEY, "departure_delay_minutes"]), on=FLIGHT_KEY, validate="1:1"
    )
    rows = rows[rows["departure_delay_minutes"].notna()].sort_values(FLIGHT_KEY, ignore_index=True)
    rows["is_late"] = rows["departure_delay_minutes"] >= LATE_FROM_MINUTES
    is_held_out = rows["flight_date"] >= chosen.held_out.start
    return TrainingSet(
        chosen,
        rows[~is_held_out].reset_index(drop=True),
        rows[is_held_out].reset_index(drop=True),
        features.version(),
        outcomes.version(),
    )


def _known_days(store: DeltaStore, until: date) -> list[date]:
    held = [store.table_log(table).rows_by_day("flight_date") for table in (flight_delay_features, flights)]
    both = set(held[0]).intersection(held[1])
    return [day for day in both if day < until - OUTCOME_KNOWN_AFTER]


def _open(store: DeltaStore, table: Table, version: int | None) -> DeltaTable:
    log = store.table_log(table)
    return log.require() if version is None else log.at(version)


def _read(table: DeltaTable, days: Days, columns: list[str]) -> pd.DataFrame:
    within = [("flight_date", ">=", days.start), ("flight_date", "<=", days.last)]
    rows: pd.DataFrame = table.to_pyarrow_table(filters=within, columns=columns).to_pandas()
    return rows
