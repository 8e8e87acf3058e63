"""Silver: typed, valid rows, each once."""
