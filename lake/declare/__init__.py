"""Declare tables, contracts, feeds and days without a Spark session."""
