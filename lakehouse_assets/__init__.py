"""WHAT tables exist: one file per table, and the factory that turns them into Dagster assets."""
