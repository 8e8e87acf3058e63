"""Write rows into tables: verdicts on rows, and one step that commits."""
