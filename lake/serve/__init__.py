"""How the rows of tables reach what lies outside of the lake: sinks, planned by the same evidence as tables."""
