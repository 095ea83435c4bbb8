"""When the printer was last heard of during a print, in two small files that survive the daemon.

One lies in the runtime directory, which is memory on a proper installation: written often, lost with the power. The
other is on disk: written rarely (P11: two writes a minute cost a megabyte an hour), and all that is left after a
power cut. Neither is the truth about the print, that is the firmware's counter; they only tell how long nobody was
there, and how far the print had come at least.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.storage.clock import Clock

NAME = "contact.json"
DISK_EVERY_S = 60.0
"""At most so many seconds of printing are unknown after a power cut."""
_SIZE_BYTES = 256
"""Every note is padded to this: it is written over the last one in place, in one piece."""


@dataclass(frozen=True, slots=True)
class ContactNote:
    """Line `line` of print `print_id` was acknowledged by `at_s` on CLOCK_BOOTTIME of boot `boot`."""

    print_id: str
    line: int
    boot: str
    at_s: float


class ContactFiles:
    """Writes and reads the notes. Blocking, for one thread at a time; a failed write is no failure of the print."""

    def __init__(self, runtime_dir: Path, state_dir: Path, clock: Clock) -> None:
        self._memory = runtime_dir / NAME
        self._disk = state_dir / NAME
        self._boot = clock.stamp().boot
        self._on_disk_at = float("-inf")

    def note(self, print_id: str, line: int, *, last: bool = False) -> None:
        """The printer has just answered. `last`: it will not be asked again soon, so the disk gets it too.

        Raises OSError when a file cannot be written.
        """
        now = boot_time_s()
        text = json.dumps(asdict(ContactNote(print_id, line, self._boot, round(now, 1))))
        if last or now - self._on_disk_at >= DISK_EVERY_S:
            self._on_disk_at = now
            _overwrite(self._disk, text, is_synced=True)
        _overwrite(self._memory, text, is_synced=False)

    def read(self, print_id: str) -> ContactNote | None:
        """Return the latest note about this print, None when there is none that can be read."""
        notes = [note for note in (_read(self._memory), _read(self._disk)) if note is not None]
        fitting = [note for note in notes if note.print_id == print_id]
        # Lines only ever go up within a print; times of different boots cannot be compared.
        return max(fitting, key=lambda note: (note.line, note.at_s), default=None)

    def age_s(self, note: ContactNote) -> float | None:
        """How long ago that was, in seconds; None after a restart of the machine: wall clocks step, so nobody knows."""
        if note.boot != self._boot:
            return None
        return max(0.0, boot_time_s() - note.at_s)


def boot_time_s() -> float:
    """Seconds since the machine was started, sleep included; no clock change touches it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _overwrite(path: Path, text: str, *, is_synced: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.pwrite(descriptor, text.ljust(_SIZE_BYTES - 1).encode() + b"\n", 0)
        if is_synced:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> ContactNote | None:
    """A file that is missing, torn or foreign says nothing."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        with path.open("rb") as file:
            data = json.loads(file.read(_SIZE_BYTES))
        note = ContactNote(str(data["print_id"]), int(data["line"]), str(data["boot"]), float(data["at_s"]))
        return note if note.line >= 0 and note.at_s >= 0 else None
    return None
