"""WHEN: which schedules and sensors run."""
