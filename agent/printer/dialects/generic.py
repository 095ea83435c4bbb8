"""A firmware nobody recognised: plain lines, one at a time, nothing assumed."""

from __future__ import annotations

from agent.printer.dialects.base import Dialect

GENERIC = Dialect(name="generic", title="unknown firmware")
