"""Waiting for what another thread or process does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LIMIT_S = 30.0
_LOOK_S = 0.005


def until(condition: Callable[[], bool], what: str = "the condition", limit_s: float = LIMIT_S) -> None:
    """Return when a condition has come true; fails at the deadline."""
    deadline, pause = time.monotonic() + limit_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        pause.wait(_LOOK_S)
