"""Punctuality of airports by the hour, for dashboards."""

from lake.declare.destinations import DuckDb
from lake.declare.sink import sink
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance

airport_hours = sink(reads=hourly_airport_performance, to=DuckDb("warehouse.duckdb"))
