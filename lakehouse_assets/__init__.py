"""The airline's tables, one file each, and what Dagster loads."""
