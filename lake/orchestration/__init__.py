"""Turn tables into Dagster assets, checks, schedules and sensors.

Nothing else imports Dagster.
"""
