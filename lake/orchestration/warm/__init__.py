"""Execute Dagster's runs in one process that keeps Spark.

It executes one run at a time.
"""
