"""Growing pauses between restarts that lead to nothing: a bad configuration must not keep a small board busy for ever.

systemd has had this (`RestartSteps=`) since 254; Bookworm's 252 restarts at one pace. The first restarts stay fast
whatever happens, and a life that became ready owes nothing: a running print waits for them.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.ops.systemd import Notifier

RECORD = "restarts.json"
CALM_S = 60.0
"""Whoever ran this long did not fail at the start."""
FREE = 5
"""So many short lives in a row cost nothing."""
MOST_S = 60.0
START_S = 60.0
"""`TimeoutStartSec=` of the unit, asked for again behind a pause."""


class Restarts:
    """The record of short lives, in the runtime directory: it outlives restarts, and ends with `systemctl stop`."""

    def __init__(self, runtime: Path, clock: Callable[[], float] | None = None) -> None:
        self._file = runtime / RECORD
        # Unlike the monotonic clock it goes on while the machine is suspended, and no clock change touches it.
        self._clock = clock or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))

    def begin(self) -> float:
        """Note this start; returns how many seconds to wait before going on, mostly 0."""
        count, last = self._read()
        now = self._clock()
        count = 0 if last is None or not 0 <= now - last < CALM_S else count + 1
        delay_s = 0.0 if count < FREE else min(2.0 ** (count - FREE), MOST_S)
        self._write(count, now + delay_s)
        return delay_s

    def end(self) -> None:
        """The daemon is ready: the next start owes nothing."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def pause(self, notifier: Notifier, sleep: Callable[[float], None] = time.sleep) -> None:
        """Note this start, and wait where it is one of many short lives."""
        delay_s = self.begin()
        if delay_s > 0:
            notifier.status(f"ended early several times; trying again in {delay_s:.0f} s")
            notifier.extend_timeout(delay_s + START_S)
            sleep(delay_s)

    def _read(self) -> tuple[int, float | None]:
        try:
            count, last = json.loads(self._file.read_text("ascii"))
            return int(count), float(last)
        except (OSError, ValueError, TypeError):
            return 0, None

    def _write(self, count: int, last: float) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep the daemon from starting
            self._file.write_text(json.dumps([count, last]), "ascii")
