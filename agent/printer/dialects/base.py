"""What differs between firmwares, as data. The line engine reads these fields and asks no firmware's name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PROBE_COMMAND = b"N999999999 M105*46"
"""A line with an impossible number: refused with `Last Line: k`, never executed (measured on Marlin 2.0
and 2.1: the number is checked before the checksum, both are right here so that the order does not matter)."""

M409_COMMAND = b'M409 K"inputs[].lineNumber"'
"""RepRapFirmware 3: the line numbers its input channels have seen last."""


class Counter(StrEnum):
    """How the last accepted line number can be asked."""

    PROBE = "probe"
    M409 = "m409"


class Duplicate(StrEnum):
    """What the firmware does with a line number it has accepted before."""

    SILENT = "silent"
    RESEND = "resend"
    SKIP = "skip"
    EXECUTED = "executed"


class BadLine(StrEnum):
    """What follows a line with a wrong checksum or number."""

    RESEND_OK = "resend_ok"
    RESEND = "resend"
    SILENT = "silent"
    EXECUTED = "executed"


class OkOn(StrEnum):
    """What an ok says: the command left the queue, or it was only received."""

    EXECUTED = "executed"
    RECEIVED = "received"


class WaitMeans(StrEnum):
    """What a `wait` line says."""

    IDLE = "idle"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One firmware family. Defaults are those of the careful case: plain lines, one at a time.

    Lines and numbers
    `numbered`: job lines carry `N` and checksum. `checked`: the firmware verifies both.
    `set_line`: how the counter is set, with `{n}`; None where it cannot be.
    `counter`, `probe_command`: how the last accepted line is asked; None where there is no way.
    `duplicate`, `bad_line`: see the enums. `line_modulus`: numbers are compared modulo this.
    `unasked_resend_back`: how many lines back an unrequested `Resend` may legitimately reach.

    Acknowledgements
    `ok_on`: see `OkOn`. `ok_numbered`: the plain ok carries the line number.
    `blank_acked`: an empty line gets an ok. `error_acked`: a failed command gets its ok too.
    `wait_means`: see `WaitMeans`. `keepalive`: `busy:` lines come during long commands, so
    silence is a fault.

    Flow
    `max_line`: longest line in characters with number and checksum; None when no limit is known.
    `window_lines`, `window_bytes`: how much may be unacknowledged before anything was learnt of the board.
    `chatter_in_print`: unnumbered commands may be mixed into numbered ones.

    Commands
    `deadman`: `M85 S` switches everything off when nothing moves for so long. `deadman_since`: from this version on
    moves and the firmware's own waits for a person always hold it back. `autoreport`: format with `{s}`
    seconds, to be used when the capability `AUTOREPORT_TEMP` is announced. `break_wait`: ends a blocking
    heat-up, `quickstop`: drops planned moves; both out of band only with the capability `EMERGENCY_PARSER`.
    `restart_after_halt`: revives a halted board without a reset; None where only a reset does.
    `clear_stop`: leaves the state behind `Printer stopped due to errors`.
    `reboots_after_halt`: the board restarts by itself and greets again.
    """

    name: str
    title: str
    numbered: bool = False
    checked: bool = False
    set_line: str | None = None
    counter: Counter | None = None
    probe_command: bytes | None = None
    duplicate: Duplicate = Duplicate.EXECUTED
    bad_line: BadLine = BadLine.EXECUTED
    line_modulus: int | None = None
    unasked_resend_back: int = 0
    ok_on: OkOn = OkOn.EXECUTED
    ok_numbered: bool = False
    blank_acked: bool = False
    error_acked: bool = True
    wait_means: WaitMeans = WaitMeans.IDLE
    keepalive: bool = False
    max_line: int | None = 95
    window_lines: int = 1
    window_bytes: int = 96
    chatter_in_print: bool = True
    deadman: bool = False
    deadman_since: tuple[int, int, int] | None = None
    autoreport: str | None = None
    break_wait: bytes | None = None
    quickstop: bytes | None = None
    restart_after_halt: bytes | None = None
    clear_stop: bytes | None = None
    reboots_after_halt: bool = False
