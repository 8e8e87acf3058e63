"""WHAT tables exist: one file per table, and what Dagster loads."""
