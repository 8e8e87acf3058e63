"""Features of flights that are known before they leave, for models."""

from lake.declare.destinations import DuckDb
from lake.declare.sink import sink
from lakehouse_assets.gold.flight_delay_features import flight_delay_features

flight_features = sink(reads=flight_delay_features, to=DuckDb("warehouse.duckdb"))
