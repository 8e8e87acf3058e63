"""Gold: what dashboards and models read; names start with the grain."""
