"""How much may be in flight, by what is known about the printer. Pure; see docs/decisions/0008-window-evidence.md.

A line that was sent and not acknowledged is in one of two places: in a command slot of the firmware, or in the ring
that takes bytes from the wire. Nobody says how full the ring is, and what does not fit is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.printer.dialects import Dialect
from agent.printer.stop_path import EmergencyParser
from agent.printer.window import WindowSize

USUAL_SLOTS = 4
"""BUFSIZE as Marlin is delivered. Fewer are not known from any build."""
SLOTS_MOST = 32
"""Lines in flight; the most that was measured without loss. More would only lengthen what a stop has to wait for."""
STOP_SLOTS = 1
"""Slots that stay free for an M112 where no parser takes it from the wire."""
LOSSES_MOST = 3
"""So many lost lines in a window wider than usual, and the usual one is good enough: it fills a wire as well."""
LINE_BYTES = 96
"""The longest line with its line end, where the dialect tells no limit."""

# USB ids of boards that are on the USB themselves, with firmware that lets the host wait instead of dropping bytes.
# Adapters (CH340, FTDI, CP210x, 16U2) are not: behind them is a UART without flow control.
FLOW_CONTROLLED = frozenset(
    {
        (0x0483, 0x5740),  # STM32: CDC_resume_receive only asks for a packet when its queue has room for one
    }
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one printer.

    `slots`: command slots of the firmware (BUFSIZE), None where it does not tell. `usb`: vendor and product id of the
    port. `losses`: lines lost so far in a window wider than the dialect's.
    """

    dialect: Dialect
    slots: int | None = None
    usb: tuple[int, int] | None = None
    parser: EmergencyParser = EmergencyParser.UNKNOWN
    losses: int = 0


def window_of(evidence: Evidence, lines: int | None = None, size_bytes: int | None = None) -> WindowSize:
    """Return how much may be in flight; `lines` and `size_bytes` are the profile's own, and go before everything.

    - The dialect's window holds where nothing else is known. One line at a time is never widened: with those
      firmwares a lost line is not noticed.
    - Known slots set the lines. They do not set the bytes: slots are filled from the ring, and a burst may come while
      the firmware is not looking.
    - Flow control lifts the bytes: nothing is lost, and every line has a slot of its own, so none stands in the way.
    - Where a stop is not proven to get past the queue, one slot stays free, so that an M112 is read at once.
    """
    window = _wide(evidence) if evidence.losses <= LOSSES_MOST else _usual(evidence)
    return WindowSize(lines or window.lines, size_bytes or window.bytes)


def is_wide(evidence: Evidence, size: WindowSize) -> bool:
    """Whether a window is wider than the one without any evidence."""
    usual = _usual(evidence)
    return size.lines > usual.lines or size.bytes > usual.bytes


def slots_of(free: list[int]) -> int | None:
    """Command slots, from the B of oks to lone lines: the line that is acknowledged still takes a slot itself.

    Two oks must have come, and the smaller number counts: replies carry no checksum.
    """
    if len(free) < 2:
        return None
    slots = min(free) + 1
    return slots if 1 < slots <= 4 * SLOTS_MOST else None


def _usual(evidence: Evidence) -> WindowSize:
    dialect = evidence.dialect
    slots = min(evidence.slots or USUAL_SLOTS, USUAL_SLOTS)
    return WindowSize(min(dialect.window_lines, _usable(slots, evidence)), dialect.window_bytes)


def _wide(evidence: Evidence) -> WindowSize:
    dialect = evidence.dialect
    usual = _usual(evidence)
    if dialect.window_lines == 1 or not dialect.checked:
        return usual
    lines = usual.lines
    if evidence.slots is not None:
        lines = min(SLOTS_MOST, _usable(evidence.slots, evidence))
    if evidence.usb in FLOW_CONTROLLED:
        longest = LINE_BYTES if dialect.max_line is None else dialect.max_line + 1
        return WindowSize(lines, max(usual.bytes, lines * longest))
    return WindowSize(lines, usual.bytes)


def _usable(slots: int, evidence: Evidence) -> int:
    proven = evidence.parser is EmergencyParser.PROVEN
    return max(1, slots if proven else slots - STOP_SLOTS)
