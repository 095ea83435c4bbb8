"""When a record was written: wall time, monotonic time and the boot it belongs to."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Protocol

from agent.domain.events import Stamp

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Stamps records; injected so that tests own the time."""

    def stamp(self) -> Stamp:
        """Return the present moment; thread-safe."""
        ...


class SystemClock:
    """The machine's clocks. Wall time may step on a Pi; monotonic time and boot id tell."""

    def __init__(self) -> None:
        # Without /proc a random id still separates the monotonic times of two runs.
        self._boot = _BOOT_ID.read_text("ascii").strip() if _BOOT_ID.exists() else str(uuid.uuid4())

    def stamp(self) -> Stamp:
        """Return the present moment; thread-safe."""
        return Stamp(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000, self._boot)
