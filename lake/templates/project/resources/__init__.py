"""WITH WHAT: what an environment needs beside its settings in pyproject.toml; nothing so far."""
