"""When a record was written: wall time and how far to believe it, monotonic time and the boot it belongs to."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.domain.events import ClockState, Stamp

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# systemd-timesyncd leaves this file once it has set the clock.
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
# adjtimex(2): the status bit, set until something like NTP disciplines the clock, and the return value for it.
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_TIMEX_BYTES = 208  # struct timex on 64-bit Linux; `modes` = 0 only reads
_STATUS_OFFSET = 40  # of the int `status` within it
# Whether the clock is set changes once after a boot; asking more often would only cost.
SYNC_CHECK_S = 10.0
# NTP slews smaller differences; a jump like this makes times before and after incomparable.
STEP_MS = 2_000
# Every record of these seconds carries the mark: the first one is mostly a telemetry sample, which may be thinned out.
STEP_MARK_S = 10.0


class Clock(Protocol):
    """Stamps records; injected so that tests own the time."""

    def stamp(self) -> Stamp:
        """Return the present moment; thread-safe."""
        ...


class SystemClock:
    """The machine's clocks. Wall time may step on a Pi; monotonic time, boot id and `clk` tell."""

    def __init__(self, is_synchronised: Callable[[], bool] | None = None) -> None:
        # Without /proc a random id still separates the monotonic times of two runs.
        self._boot = _BOOT_ID.read_text("ascii").strip() if _BOOT_ID.exists() else str(uuid.uuid4())
        self._is_synchronised = is_synchronised or synchronised
        self._lock = threading.Lock()
        self._is_sync = True
        self._checked_ms: int | None = None
        self._offset_ms: int | None = None
        self._stepped_ms: int | None = None

    def stamp(self) -> Stamp:
        """Return the present moment; thread-safe."""
        t_ms, mono_ms = time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000
        return Stamp(t_ms, mono_ms, self._boot, self._state(t_ms, mono_ms))

    def _state(self, t_ms: int, mono_ms: int) -> ClockState:
        with self._lock:
            if self._checked_ms is None or mono_ms - self._checked_ms >= SYNC_CHECK_S * 1000:
                self._is_sync = self._is_synchronised()
                self._checked_ms = mono_ms
            before, self._offset_ms = self._offset_ms, t_ms - mono_ms
            if before is not None and abs(self._offset_ms - before) > STEP_MS:
                self._checked_ms, self._stepped_ms = None, mono_ms
            if self._stepped_ms is not None and mono_ms - self._stepped_ms < STEP_MARK_S * 1000:
                return ClockState.STEPPED
            return ClockState.SYNC if self._is_sync else ClockState.UNSYNC


def synchronised() -> bool:
    """Tell whether something disciplines the clock (NTP, PTP, GPS), by the kernel's own flag.

    Where the kernel cannot be asked (a hardened service), timesyncd's mark decides.
    """
    try:
        import ctypes  # noqa: PLC0415 - fails where memory may not be writable and executable

        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        result = int(ctypes.CDLL(None).adjtimex(timex))
    except (ImportError, MemoryError, OSError, AttributeError):
        return _TIMESYNCD.exists()
    if result < 0:
        return _TIMESYNCD.exists()
    status = int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little")
    return result != _TIME_ERROR and not status & _STA_UNSYNC
