"""The sinks by which others take rows out of the lake, one a file."""
