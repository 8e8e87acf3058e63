"""WITH WHAT: what an environment of the airline needs beside its settings in pyproject.toml; today nothing."""
