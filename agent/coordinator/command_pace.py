"""How many commands a unit takes: a steady rate with room for a burst. Pure.

Each command costs some 2 to 5 ms of processor time (measured on x86), in which the thread that feeds the printer waits
for its turn more often. Nobody needs ten a second; a loop that has gone wild, or somebody hostile, must not slow a
print.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

PER_S = 10.0
"""With so many one line in a hundred waits 0.3 ms longer, in a flood of more 0.7 ms (benchmarks/link_delay.py)."""
BURST = 100
"""So many are taken without a wait after a pause: a person, or a script that asks one thing after another, goes on."""
MOST_WAIT_S = 1.0
"""Beyond this they are refused: ten wait at most, so that half of what the broker may send unacknowledged stays free
for an emergency stop."""
REFUSALS_PER_S = 5.0
REFUSALS_BURST = 50
"""A refusal costs half as much as a command: a flood is not answered message by message."""

_STOP = b'"stop"'
_PACKED = b"x"
"""The first byte of a zlib stream."""


@dataclass(slots=True)
class Pace:
    """Hands out moments, `per_s` of them a second after a burst of `burst`; `now` is monotonic seconds."""

    per_s: float
    burst: int
    most_wait_s: float = 0.0
    _next_s: float = float("-inf")

    def wait_s(self, now: float) -> float | None:
        """Take the next moment and return how long it is until then; None when that is too long: nothing is taken."""
        moment = max(self._next_s, now - (self.burst - 1) / self.per_s)
        wait_s = max(0.0, moment - now)
        if wait_s > self.most_wait_s:
            return None
        self._next_s = moment + 1.0 / self.per_s
        return wait_s

    def is_full(self, now: float) -> bool:
        """Tell whether `wait_s` would refuse."""
        return self._next_s - now > self.most_wait_s


def command_pace() -> Pace:
    """Return the pace of commands."""
    return Pace(PER_S, BURST, MOST_WAIT_S)


def refusal_pace() -> Pace:
    """Return the pace of refusals that are told."""
    return Pace(REFUSALS_PER_S, REFUSALS_BURST)


def may_be_stop(payload: bytes) -> bool:
    """Tell, at a fraction of the price of reading a command, whether it can be an emergency stop.

    Only one that writes the word with escapes is not recognised; packed ones are always taken for one.
    """
    if _STOP in payload or payload[:1] == _PACKED:
        return True
    if b'"sig"' not in payload:
        return False
    try:
        return _STOP in base64.b64decode(json.loads(payload)["payload"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return False
