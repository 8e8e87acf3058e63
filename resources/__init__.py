"""WITH WHAT: thin Dagster resources and the settings of each environment."""
