"""Tables that answer the questions of people."""
