"""Commands that keep the firmware busy for long: nothing may be queued behind them.

While one of these runs, Marlin answers nothing and reads no further command once its queue is full; a stop or cancel
sent then would wait for minutes (measured: M112 behind 8 queued commands had no effect within 6 s, with an empty queue
it acted in 0.02 s). They are therefore sent alone.
"""

from __future__ import annotations

import re

LONG_DWELL_S = 0.5
"""A G4 of up to this long is treated like a move; stop must stay well under a second."""

_BLOCKING = re.compile(
    rb"\s*(?:M0*(?:0|1|109|116|190|191|192|226|303|400|48|600|601|602|603|701|702|125)|G0*(?:28|29|30|32|33|34|35|76))(?![0-9])"
)
_DWELL = re.compile(rb"\s*G0*4(?![0-9])(?:.*?([SP])\s*([0-9.]+))?")


def is_blocking(command: bytes) -> bool:
    """Whether this command must be sent alone."""
    if command[:3] in (b"G1 ", b"G0 "):
        return False
    if _BLOCKING.match(command):
        return True
    dwell = _DWELL.match(command)
    if dwell is None:
        return False
    unit, amount = dwell.groups()
    if amount is None:
        return False
    try:
        seconds = float(amount) / (1000.0 if unit == b"P" else 1.0)
    except ValueError:
        return True
    return seconds > LONG_DWELL_S
