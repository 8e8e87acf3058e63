"""What every test may ask for: `spark`, the one session of the run."""

pytest_plugins = ["lake.testing.plugin"]
