"""Serve tables by day and key over HTTP: the read API.

DuckDB reads them from the files that their logs name.
"""
