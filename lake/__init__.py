"""HOW a table is read, checked, written and followed. PySpark and Delta; never imports Dagster."""
