"""The tables that every side computes, and how each is laid out."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PARTITIONED_BY", "TABLES"]

_LANDED = ("landed_on", "event_date")

PARTITIONED_BY: Mapping[str, tuple[str, ...]] = {
    "bronze.departure_events": _LANDED,
    "bronze.arrival_events": _LANDED,
    "bronze.schedule_files": _LANDED,
    "bronze.weather_files": _LANDED,
    "bronze.reference_planes": _LANDED,
    "bronze.reference_airlines": _LANDED,
    "bronze.reference_airports": _LANDED,
    "silver.departures": ("departed_on",),
    "silver.arrivals": ("arrived_on",),
    "silver.schedules": ("flight_date",),
    "silver.weather": ("observed_on",),
    "silver.aircraft": (),
    "silver.carriers": (),
    "silver.airports": (),
    "silver.flights": ("flight_date",),
    "gold.hourly_airport_performance": ("hour_on",),
    "gold.delay_alerts": ("hour_on",),
    "gold.daily_carrier_performance": ("flight_date",),
    "gold.flight_delay_features": ("flight_date",),
}
"""Partition columns by table, upstream first; every side writes one file per partition."""

TABLES = tuple(PARTITIONED_BY)
