"""HOW tables become Dagster assets, checks, schedules and sensors; the only place that imports Dagster."""
