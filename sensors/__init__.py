"""WHEN: which schedules, sensors and alerts the airline runs."""
