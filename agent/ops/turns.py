"""How soon a thread of the daemon gets its turn: the one that feeds the printer must not wait for the others."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

SWITCH_INTERVAL_S = 0.0001
"""Python's default of 5 ms would let a busy event loop hold the printer thread up for that long, three times a line.

Measured (benchmarks/link_delay.py): a coordinator's commands add 0.3 ms less to one line in a hundred than with 0.5 ms.
"""
TIMER_SLACK_NS = 1_000
"""The kernel's default of 50 µs would lengthen each of these waits by half."""
_SLACK_FILE = Path("/proc/self/timerslack_ns")


def take_short_turns(slack_file: Path = _SLACK_FILE) -> None:
    """Shorten the turns of Python's threads. Call it before there are any: they inherit the kernel's part of it.

    Where the kernel's part cannot be changed, a turn takes a little longer.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with contextlib.suppress(OSError):
        slack_file.write_text(str(TIMER_SLACK_NS), "ascii")
