"""Looks at the machine once a minute: for the status document, its warnings and the figures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.ops.host import HostHealth, read_host, warnings

if TYPE_CHECKING:
    from collections.abc import Callable

# Power, heat and disk change in minutes; a look costs some reads of /sys and one statvfs.
EVERY_S = 60.0


class HostWatch:
    """The newest look; event loop only. `refresh` runs with every look, in the same thread (upkeep of the disk)."""

    def __init__(
        self,
        state_dir: Path,
        min_free_bytes: int,
        *,
        refresh: Callable[[], None] | None = None,
        read: Callable[[Path, Path], HostHealth] = read_host,
        every_s: float = EVERY_S,
    ) -> None:
        self._state_dir = state_dir
        self._min_free_bytes = min_free_bytes
        self._refresh = refresh
        self._read = read
        self._every_s = every_s
        self._health: HostHealth | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._health = await asyncio.to_thread(self._look)
            await asyncio.sleep(self._every_s)

    def document(self) -> dict[str, Any] | None:
        """Return the newest look as JSON values, None before the first."""
        return None if self._health is None else self._health.to_document()

    def figures(self) -> dict[str, float]:
        """Return the newest look as telemetry channels; memory and disk in MiB."""
        seen = self._health
        if seen is None:
            return {}
        found = {
            "host.cpu_c": seen.cpu_c,
            "host.throttled": seen.throttled,
            "host.memory_free_mib": _mib(seen.memory_available_bytes),
            "host.disk_free_mib": _mib(seen.disk_free_bytes),
            "host.load": seen.load,
        }
        return {name: float(value) for name, value in found.items() if value is not None}

    def warnings(self) -> list[str]:
        """Return what a person should know about the machine."""
        return [] if self._health is None else warnings(self._health, self._min_free_bytes)

    def _look(self) -> HostHealth:
        if self._refresh is not None:
            self._refresh()
        return self._read(self._state_dir, Path("/"))


def _mib(size_bytes: int | None) -> int | None:
    return None if size_bytes is None else size_bytes >> 20
