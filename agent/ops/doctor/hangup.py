"""Whether closing the port would drop DTR: the next open then resets boards that are wired for it.

Only looked at while the daemon holds the port. To open one that nobody holds raises DTR, which may itself reset the
board: the doctor does not do that.
"""

from __future__ import annotations

import os
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Callable

_CFLAG = 2


@dataclass(frozen=True, slots=True)
class HangupFacts:
    """`is_set` is the port's HUPCL flag; None where nobody may ask, or nobody knows."""

    device: str
    is_set: bool | None


def look(device: str, *, is_held: bool, read: Callable[[str], bool | None] | None = None) -> HangupFacts:
    """Read the flag where the daemon has the port open; `read` returns it for a device."""
    return HangupFacts(device, (read or _read)(device) if device and is_held else None)


def judge(facts: HangupFacts) -> list[Finding]:
    """Return what is wrong."""
    if facts.is_set is None:
        return []
    if not facts.is_set:
        return [
            ok("hangup", f"closing {facts.device} leaves DTR as it is: a restart does not reset the board")
        ]
    return [
        Finding(
            "hangup",
            Level.WARNING,
            f"closing {facts.device} drops DTR (HUPCL is set, another program did that): the next restart of the "
            "daemon may reset the board and end its print",
            f"sudo stty -F {facts.device} -hupcl",
        )
    ]


def _read(device: str) -> bool | None:
    """Only root gets past the daemon's lock. While another descriptor is open neither open nor close moves DTR."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return bool(termios.tcgetattr(descriptor)[_CFLAG] & termios.HUPCL)
    except termios.error:
        return None
    finally:
        os.close(descriptor)
