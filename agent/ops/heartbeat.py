"""The watchdog's beat: sent only when every part that a print depends on has just made progress.

A timer of its own would hide a hang. So the beat is a task of the event loop (a hung loop sends none), waits for the
database thread to answer a query, and asks whether the printer thread has gone round since the beat before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from agent.ops.systemd import Notifier

# Two looks per beat: with a third of `WatchdogSec=` between beats, five late looks in a row are a hang.
LOOKS_PER_BEAT = 2

Probe = Callable[[], Awaitable[bool]]
"""Returns whether its part made progress since it was asked last; one that never returns is a part that hangs."""

_log = structlog.get_logger("watchdog")


class Heartbeat:
    """Asks the probes and tells the service manager; event loop only."""

    def __init__(self, notifier: Notifier, interval_s: float, probes: Mapping[str, Probe]) -> None:
        """`interval_s` between two beats at most; probes by the name of their part."""
        self._notifier = notifier
        self._look_s = interval_s / LOOKS_PER_BEAT
        self._probes = probes
        self._asked: dict[str, asyncio.Task[bool]] = {}
        self._silent: list[str] = []

    async def run(self) -> None:
        """Beat until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._look_s)
                silent = await self.silent_parts()
                if silent != self._silent:
                    _log.warning("watchdog_beat", silent=silent or "none any more")
                    self._silent = silent
                if not silent:
                    self._notifier.watchdog()
        finally:
            for task in self._asked.values():
                task.cancel()

    async def silent_parts(self) -> list[str]:
        """Return the parts that made no progress, or have not answered for one look."""
        for name, probe in self._probes.items():
            if name not in self._asked:
                self._asked[name] = asyncio.ensure_future(probe())
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=self._look_s)
        silent: list[str] = []
        for name, task in list(self._asked.items()):
            if not task.done():
                silent.append(name)
                continue
            del self._asked[name]
            failure = task.exception()
            if failure is not None:
                _log.warning("watchdog_probe_failed", part=name, error=str(failure))
            if failure is not None or not task.result():
                silent.append(name)
        return silent
