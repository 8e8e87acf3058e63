"""Read, check, write and follow tables with PySpark and Delta.

Of its rooms only `lake.orchestration` imports Dagster.
"""
