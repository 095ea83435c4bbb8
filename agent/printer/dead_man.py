"""The firmware's dead-man timer (M85) for the length of a print: whether to set it, and to how many seconds.

`M85 S<seconds>` has Marlin switch heaters and motors off once nothing has moved for so long. What counts as movement
differs (read in Marlin 1.1.9, 2.0.5, 2.1 and Prusa-Firmware 3): moves, homing and heating waits everywhere; every
acknowledged command only before 2.0; waiting for a person in M600 only since 2.0.6. Between 2.0.0 and 2.1.1 moves stop
counting when the motors' own idle time is switched off (`M84 S0`, or by configuration, which nobody can ask).
`docs/decisions/0007-dead-man.md` has the conclusions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from agent.printer.dialects import marlin_version
from agent.printer.handshake import Answered

DEAD_MAN_S = 1800
"""Longer than any restart (seconds), any reboot (minutes) and the wait for a lost port (ten minutes); the bed of a
printer whose host has died is cold within the hour."""
REFRESH_S = 300.0
"""While a print is paused nothing moves: the timer is set anew this often, six times within its length."""
_WAITS = re.compile(rb"\n(?:M0|M1|M25|M226|M600|M601|M18 S0|M84 S0)(?= |\n)")
_DWELL = re.compile(rb"\nG4(?: ([SP])([0-9.]+))?(?=[ \n])")
_BLOCK_BYTES = 1 << 18
"""A quarter of a megabyte is searched within a few milliseconds; others get their turn in between."""


@dataclass(frozen=True, slots=True)
class Stillness:
    """What of a job keeps the printer still: `waits` for a person (no end), dwells of `dwell_s` seconds in all."""

    waits: bool = False
    dwell_s: float = 0.0


def stillness_of(path: Path) -> Stillness:
    """Read a prepared file for what keeps the printer still. Blocking; raises OSError."""
    waits, dwell_s, rest = False, 0.0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            text = rest + block
            end = text.rfind(b"\n")
            text, rest = text[: end + 1], text[end:]
            waits = waits or _WAITS.search(text) is not None
            dwell_s += sum(_seconds(found[1], found[2]) for found in _DWELL.finditer(text))
    return Stillness(waits, dwell_s)


def can_be_set(identity: Answered, setting: int | None) -> bool:
    """Whether the timer is used with this firmware at all; `setting` as in `seconds`."""
    if not identity.dialect.deadman or setting == 0:
        return False
    if setting is not None:
        return True
    since = identity.dialect.deadman_since
    version = marlin_version(identity.firmware)
    return since is not None and version is not None and version >= since


def seconds(identity: Answered, setting: int | None, still: Stillness) -> int:
    """How long the printer may be still before it switches itself off; 0: not at all.

    `setting` is `[printer] dead_man_s`: 0 never, None where the firmware's version is known to count rightly. A job
    that waits for a person at the printer is never guarded: the wait would end in a dead print.
    """
    if not can_be_set(identity, setting) or still.waits:
        return 0
    return (setting or DEAD_MAN_S) + round(still.dwell_s)


def command(length_s: int) -> str:
    """The command that sets the timer; 0 clears it."""
    return f"M85 S{length_s}"


def _seconds(letter: bytes | None, number: bytes | None) -> float:
    if letter is None or number is None:
        return 0.0
    return float(number) / (1000.0 if letter == b"P" else 1.0)
