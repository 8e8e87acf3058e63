"""Record who owns a day and what it was computed from."""
