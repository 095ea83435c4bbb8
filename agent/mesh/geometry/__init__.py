"""Vectorised geometry on arrays; imported only by the worker."""
