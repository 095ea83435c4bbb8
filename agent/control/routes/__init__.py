"""Handlers of the control API, one file per resource; each turns a request into one call on the unit."""
