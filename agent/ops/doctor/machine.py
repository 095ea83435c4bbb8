"""The board: power, heat, memory, clock. Facts are those of `agent.ops.host`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok
from agent.ops.host import (
    FREQUENCY_CAPPED,
    HOT_C,
    LOW_MEMORY_SHARE,
    SINCE_START,
    SOFT_LIMIT,
    THROTTLED,
    UNDER_VOLTAGE,
    HostHealth,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Less than this is no board fabunit was measured on (a Pi Zero 2 W has 512 MB).
LEAST_MEMORY_BYTES = 400 << 20
_SUPPLY = "use the board's original power supply and a short, thick cable; nothing else on its USB ports"


def with_vcgencmd(health: HostHealth, run: Callable[[Sequence[str]], str | None]) -> HostHealth:
    """Ask the firmware's own tool where the kernel shows no throttling bits."""
    if health.throttled is not None:
        return health
    said = run(["vcgencmd", "get_throttled"]) or ""
    name, _, value = said.partition("=")
    try:
        bits = int(value, 16) if name == "throttled" else None
    except ValueError:
        bits = None
    if bits is None:
        return health
    return replace(health, throttled=bits, is_under_voltage=bool(bits & UNDER_VOLTAGE))


def judge(health: HostHealth) -> list[Finding]:
    """Return what is wrong with the board."""
    return [*_judge_power(health), *_judge_heat(health), *_judge_memory(health), *_judge_clock(health)]


def _judge_power(health: HostHealth) -> list[Finding]:
    bits = health.throttled or 0
    if health.is_under_voltage:
        return [Finding("power", Level.ERROR, "the supply voltage is too low now", _SUPPLY)]
    if bits & UNDER_VOLTAGE << SINCE_START:
        message = "the supply voltage was too low since the last start: the board may reset in a print"
        return [Finding("power", Level.WARNING, message, _SUPPLY)]
    if health.is_under_voltage is None:
        return []
    return [ok("power", "no under-voltage since the last start")]


def _judge_heat(health: HostHealth) -> list[Finding]:
    bits = health.throttled or 0
    slowed = FREQUENCY_CAPPED | THROTTLED | SOFT_LIMIT
    remedy = "give the board a heat sink and air; keep it out of the printer's enclosure"
    if (health.cpu_c is not None and health.cpu_c >= HOT_C) or bits & slowed:
        hot = f" at {health.cpu_c:.0f} °C" if health.cpu_c is not None else ""
        return [Finding("temperature", Level.WARNING, f"the processor is slowed down{hot}", remedy)]
    if bits & slowed << SINCE_START:
        message = "the processor was slowed down since the last start: too hot, or too little power"
        return [Finding("temperature", Level.NOTE, message, remedy)]
    return [] if health.cpu_c is None else [ok("temperature", f"processor {health.cpu_c:.0f} °C")]


def _judge_memory(health: HostHealth) -> list[Finding]:
    total, free = health.memory_total_bytes, health.memory_available_bytes
    if total is None or free is None:
        return []
    told = f"{free >> 20} of {total >> 20} MiB of memory available"
    if total < LEAST_MEMORY_BYTES:
        remedy = "use a board with 512 MB or more; slice on another computer"
        return [Finding("memory", Level.WARNING, f"{told}: less than fabunit was measured on", remedy)]
    if free < total * LOW_MEMORY_SHARE:
        return [
            Finding(
                "memory",
                Level.WARNING,
                told,
                "ps -eo rss,comm --sort=-rss | head   (and stop what is not needed)",
            )
        ]
    return [ok("memory", told)]


def _judge_clock(health: HostHealth) -> list[Finding]:
    if health.is_clock_set:
        return [ok("clock", "the clock is synchronised")]
    return [
        Finding(
            "clock",
            Level.WARNING,
            "the clock is not synchronised: times in the history may be wrong, and TLS can fail",
            "sudo timedatectl set-ntp true   (and check the network)",
        )
    ]
