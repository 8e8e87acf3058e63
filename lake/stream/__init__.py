"""Follow topics and tables: micro-batches, their checkpoints and what they read."""
