"""WHEN: builders of schedules, sensors and alerts, of which a project chooses."""
