"""The dashboard: pages that show any team's tables, and those that a project adds."""
