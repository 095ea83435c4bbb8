"""Progress lines on a worker's stderr."""

from __future__ import annotations

import os
import time
from typing import TextIO

EVERY_S = 0.5  # people see a bar move; the pipe and the daemon are spared


class ProgressWriter:
    """Writes a line now and then, and ends the process when the one that started it is gone."""

    def __init__(self, stderr: TextIO, every_s: float = EVERY_S) -> None:
        self._stderr = stderr
        self._every_s = every_s
        self._parent = os.getppid()
        self._next_s = 0.0

    def write(self, text: str, *, is_last: bool = False) -> None:
        """Write `progress TEXT` if the last line is long enough ago or this is the last one."""
        now_s = time.monotonic()
        if now_s < self._next_s and not is_last:
            return
        self._next_s = now_s + self._every_s
        if os.getppid() != self._parent:
            raise SystemExit(1)
        self._stderr.write(f"progress {text}\n")
        self._stderr.flush()
