"""The virtual printer: a firmware model with its own parser behind a pseudo-terminal."""
