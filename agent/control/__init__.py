"""The local control API on a Unix socket, and its client."""
