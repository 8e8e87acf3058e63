"""Measure what grows with the years.

A simulated lake of months and one of years show what looking at them costs.
"""
