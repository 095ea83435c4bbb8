"""HTTP/1.1 for the daemon's few doors: h11 reads and writes the protocol, asyncio moves the bytes.

Knows nothing of printers. Why not a web framework: docs/decisions/0013-small-http.md.
"""
