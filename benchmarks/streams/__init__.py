"""Measure how long a message takes from Kafka to gold.

And what state costs, and what a contract costs a micro-batch.
"""
