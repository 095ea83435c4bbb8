"""Asking other programs: short, bounded, never an exception."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# systemctl and vcgencmd answer in milliseconds; one that hangs must not hang the doctor.
ASK_TIMEOUT_S = 5.0


def ask(command: Sequence[str]) -> str | None:
    """Return what a program prints, None where it is not installed, fails to start or does not answer."""
    path = shutil.which(command[0])
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, no shell
            [path, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip()


def is_active(unit: str, run: Callable[[Sequence[str]], str | None]) -> bool:
    """Tell whether a systemd unit runs; False where there is no systemd."""
    return run(["systemctl", "is-active", unit]) == "active"
