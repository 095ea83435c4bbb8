"""Worker processes: how the daemon asks one and waits for its answer, and how the worker limits itself."""
