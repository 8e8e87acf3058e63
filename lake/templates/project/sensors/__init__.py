"""Choose which schedules and sensors run."""
