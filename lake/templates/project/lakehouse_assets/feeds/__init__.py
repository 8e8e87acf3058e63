"""Where bronze reads from: topics and files."""
