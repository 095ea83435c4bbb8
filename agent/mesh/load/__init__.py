"""Readers from mesh files to arrays; imported only by the worker."""
