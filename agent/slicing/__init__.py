"""Profiles: what to print with."""
