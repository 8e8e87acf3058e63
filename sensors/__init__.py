"""WHEN: schedules, sensors and alerts."""
