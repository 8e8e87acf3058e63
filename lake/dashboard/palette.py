"""Colours of the dashboard."""

__all__ = ["BLUE", "GREY", "ORANGE", "SERIES"]

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#767676"
"""Of the palette of Okabe and Ito, which people of every colour vision tell apart."""
SERIES = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""All of it, for lines that are told apart by their shape, too."""
