"""The read API: tables by day and key over HTTP, read by DuckDB from the files that their logs name."""
