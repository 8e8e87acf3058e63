"""Run the command line `lakehouse`.

A project adds commands by entry points.
"""
