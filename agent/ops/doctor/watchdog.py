"""The board's hardware watchdog: it restarts a board whose kernel hangs; the service's own cannot do that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# The timer of a Raspberry Pi counts to about 16 s at most (drivers/watchdog/bcm2835_wdt.c); systemd feeds it at half.
ADVISED_S = 14
_MODELS = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
_BOOT_FILES = ("boot/firmware/config.txt", "boot/config.txt")  # Bookworm and later, before
_OFF = ("", "0", "off", "infinity")


@dataclass(frozen=True, slots=True)
class WatchdogFacts:
    """`armed` is systemd's `RuntimeWatchdogUSec` as it says it ("0": off), None without systemd."""

    is_pi: bool
    has_device: bool
    armed: str | None
    boot_file: str = "/boot/firmware/config.txt"


def look(root: Path, run: Callable[[Sequence[str]], str | None]) -> WatchdogFacts:
    """Read the facts."""
    said = run(["systemctl", "show", "--property=RuntimeWatchdogUSec"])
    name, found, value = (said or "").partition("=")
    boot = next((name for name in _BOOT_FILES if (root / name).exists()), _BOOT_FILES[0])
    return WatchdogFacts(
        is_pi="Raspberry Pi" in _model(root),
        has_device=any((root / "dev" / name).exists() for name in ("watchdog", "watchdog0")),
        armed=value.strip() if found and name == "RuntimeWatchdogUSec" else None,
        boot_file=f"/{boot}",
    )


def judge(facts: WatchdogFacts) -> list[Finding]:
    """Return what is wrong; nothing on a machine without systemd, or on a PC without such a timer."""
    if facts.armed is None:
        return []
    if facts.armed not in _OFF and facts.has_device:
        return [ok("watchdog", f"the board restarts itself when its system hangs ({facts.armed})")]
    if facts.has_device:
        return [
            Finding(
                "watchdog",
                Level.WARNING if facts.is_pi else Level.NOTE,
                "the hardware watchdog is not used: a board that hangs stays hanging, with its printer at heat",
                f"printf '[Manager]\\nRuntimeWatchdogSec={ADVISED_S}s\\n' | sudo install -D -m 644 /dev/stdin "
                "/etc/systemd/system.conf.d/50-watchdog.conf && sudo systemctl daemon-reexec",
            )
        ]
    if not facts.is_pi:
        return []
    return [
        Finding(
            "watchdog",
            Level.WARNING,
            "this Raspberry Pi shows no /dev/watchdog: a board that hangs stays hanging, with its printer at heat",
            f"echo dtparam=watchdog=on | sudo tee -a {facts.boot_file} && sudo reboot",
        )
    ]


def _model(root: Path) -> str:
    for name in _MODELS:
        try:
            return (root / name).read_text("ascii", "replace")
        except OSError:
            continue
    return ""
