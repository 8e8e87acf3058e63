"""The example: a simulator of what an airline sends, and the demonstration."""
