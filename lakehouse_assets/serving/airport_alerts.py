"""Hours in which an airport was late, for whoever looks after it."""

from lake.declare.destinations import DuckDb
from lake.declare.sink import sink
from lakehouse_assets.gold.delay_alerts import delay_alerts

airport_alerts = sink(reads=delay_alerts, to=DuckDb("warehouse.duckdb"))
