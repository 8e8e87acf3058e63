"""Colours of the dashboard."""

__all__ = ["BLUE", "GREY", "ORANGE"]

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#767676"
"""Of the palette of Okabe and Ito, which people of every colour vision tell apart."""
