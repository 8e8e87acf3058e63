"""What a project decides: its settings, and the lake that they open."""
