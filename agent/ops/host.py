"""How the machine beside the printer is: power, heat, memory, disk, clock, as /proc and /sys tell."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent.storage.clock import synchronised

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Bits of the Raspberry Pi firmware's `get_throttled` (raspberrypi.com, os.html#get_throttled): the low half is now,
# the same bit 16 places higher is since the last start.
UNDER_VOLTAGE = 1 << 0
FREQUENCY_CAPPED = 1 << 1
THROTTLED = 1 << 2
SOFT_LIMIT = 1 << 3
SINCE_START = 16
_THROTTLED_PATHS = ("soc/soc:firmware/get_throttled", "soc@*/*firmware*/get_throttled")
# The firmware slows the processor down from here on.
HOT_C = 80.0
# Below this the kernel starts to evict what the daemon needs next.
LOW_MEMORY_SHARE = 0.05
_MICRO = 1000.0


@dataclass(frozen=True, slots=True)
class HostHealth:
    """One look at the machine. None: this machine does not tell.

    `throttled` holds the bits above; temperatures in degrees Celsius; `load` is the mean of the last minute.
    """

    cpu_c: float | None
    throttled: int | None
    is_under_voltage: bool | None
    memory_available_bytes: int | None
    memory_total_bytes: int | None
    disk_free_bytes: int | None
    disk_total_bytes: int | None
    load: float | None
    uptime_s: float | None
    is_clock_set: bool

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def read_host(state_dir: Path, root: Path, is_clock_set: Callable[[], bool] = synchronised) -> HostHealth:
    """Look once; blocking, a few small reads. `root` is the file system to look in, usually `/`."""
    throttled = _throttled(root)
    memory = _memory(root)
    disk = _disk(state_dir)
    words = _words(root / "proc" / "uptime")
    return HostHealth(
        cpu_c=_cpu_c(root),
        throttled=throttled,
        is_under_voltage=bool(throttled & UNDER_VOLTAGE) if throttled is not None else _alarm(root),
        memory_available_bytes=memory.get("MemAvailable"),
        memory_total_bytes=memory.get("MemTotal"),
        disk_free_bytes=disk[0],
        disk_total_bytes=disk[1],
        load=_number(_words(root / "proc" / "loadavg")),
        uptime_s=_number(words),
        is_clock_set=is_clock_set(),
    )


def warnings(health: HostHealth, min_free_bytes: int) -> list[str]:
    """Return what a person should know about the machine now. Pure."""
    found = []
    if health.is_under_voltage:
        found.append("the board's supply voltage is too low: use its original power supply and a short cable")
    if health.cpu_c is not None and health.cpu_c >= HOT_C:
        found.append(f"the processor has {health.cpu_c:.0f} °C and is slowed down: give the board air")
    if health.disk_free_bytes is not None and health.disk_free_bytes < min_free_bytes:
        found.append(
            f"the disk has {health.disk_free_bytes >> 20} MiB left, below limits.min_free_bytes: "
            "no new jobs are taken"
        )
    total, free = health.memory_total_bytes, health.memory_available_bytes
    if total and free is not None and free < total * LOW_MEMORY_SHARE:
        found.append(f"the machine has {free >> 20} MiB of memory left")
    return found


def _throttled(root: Path) -> int | None:
    platform = root / "sys" / "devices" / "platform"
    for pattern in _THROTTLED_PATHS:
        for path in sorted(platform.glob(pattern)):
            try:
                return int(path.read_text("ascii").strip(), 16)
            except (OSError, ValueError):
                continue
    return None


def _alarm(root: Path) -> bool | None:
    """Return the kernel driver's own under-voltage alarm (raspberrypi-hwmon)."""
    for hwmon in sorted((root / "sys" / "class" / "hwmon").glob("hwmon*")):
        if _words(hwmon / "name") == ["rpi_volt"]:
            return _words(hwmon / "in0_lcrit_alarm") == ["1"]
    return None


def _cpu_c(root: Path) -> float | None:
    zones = sorted((root / "sys" / "class" / "thermal").glob("thermal_zone*"))
    zones.sort(key=lambda zone: "cpu" not in " ".join(_words(zone / "type")))
    for zone in zones:
        value = _number(_words(zone / "temp"))
        if value is not None:
            return round(value / _MICRO, 1)
    return None


def _memory(root: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        lines = (root / "proc" / "meminfo").read_text("ascii", "replace").splitlines()
    except OSError:
        return found
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[1].isdigit():
            found[words[0].rstrip(":")] = int(words[1]) * 1024
    return found


def _disk(directory: Path) -> tuple[int | None, int | None]:
    try:
        figures = os.statvfs(directory)
    except OSError:
        return None, None
    return figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").split()
    except OSError:
        return []


def _number(words: list[str]) -> float | None:
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None
