"""What can be said of a table: declarations, contracts, feeds and days. Needs no Spark session."""
