"""What others take out of the lake: sinks, one a file."""
