"""One row per thing of the real world, typed and valid."""
