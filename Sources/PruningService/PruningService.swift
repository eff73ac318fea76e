// Routes, operations, problems, metrics.
