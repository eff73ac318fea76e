"""A study of visual token pruning that fits on one processor core: scenes, a small model, every method, one table."""
