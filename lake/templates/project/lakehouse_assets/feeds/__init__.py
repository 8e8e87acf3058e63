"""The topics and files that bronze reads."""
