"""How rows reach a table: verdicts on rows, and one step that writes them."""
