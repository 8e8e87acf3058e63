"""Punctuality of airports by the hour, for engines that speak Iceberg."""

from lake.declare.destinations import Iceberg
from lake.declare.sink import sink
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance

hourly_mirror = sink(reads=hourly_airport_performance, to=Iceberg())
