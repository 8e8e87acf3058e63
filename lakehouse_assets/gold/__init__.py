"""Tables that dashboards and models read, named by their grain."""
