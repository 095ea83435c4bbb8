"""One file per check; each takes a `Part` and `Limits` and yields findings."""
