"""What a G-code file does: time, filament, bounds, layers. Needs numpy, so only the worker process imports it."""
