"""Load rows of tables into sinks, which lie outside of the lake.

Sinks are planned by the same evidence as tables.
"""
