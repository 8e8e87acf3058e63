"""Compute days: what is due, in which steps, and from what."""
