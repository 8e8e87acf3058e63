"""Reliability of carriers by the day, for reports."""

from lake.declare.destinations import DuckDb
from lake.declare.sink import sink
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance

carrier_days = sink(reads=daily_carrier_performance, to=DuckDb("warehouse.duckdb"))
