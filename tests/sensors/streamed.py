"""Logs of tables that streams write, made by hand, commit by commit."""

from __future__ import annotations

from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.recorded import COMMITTED_AT, D1, D2, D3, commit, follow

__all__ = ["COMMITTED_AT", "D1", "D2", "D3", "DEPARTURES", "EVENTS", "commit", "follow"]

EVENTS, DEPARTURES = departure_events, departures
