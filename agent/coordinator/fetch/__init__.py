"""Artefacts over HTTP(S): fetched by a child process from checked addresses only."""
