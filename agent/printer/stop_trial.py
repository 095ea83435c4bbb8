"""The test of the stop path, on an idle printer, before anybody else talks to it.

`Cap:EMERGENCY_PARSER:1` proves a compile option: there are builds that announce the parser and never feed it. So the
firmware is made to wait for a person (`M0` with a time limit: nothing moves, nothing heats, it ends by itself), and
`M108` is to end the wait. Without a working parser `M108` stays unread behind the waiting `M0`. (`G4` would not do: a
dwell looks at the clock only, and neither `M108` nor `M410` ends it.)
"""

from __future__ import annotations

import time

from agent.printer.replies import Ok, TemperatureReport
from agent.printer.stop_path import UNTESTED, EmergencyParser, StopPath
from agent.printer.wire import Wire

WAIT_S = 2.0
"""The wait ends by itself after this; long enough for two attempts, short enough to be borne at a first connection."""
BEGUN_S = 0.25
"""Until the firmware is surely inside its wait: an `M108` before that has nothing to end."""
ACTED_S = 0.5
"""A parser acts within 10 ms (measured); adapters and a loaded host add some tens."""
ATTEMPTS = 2
"""The word may be damaged on its way."""
SETTLE_S = 0.5
"""For the oks of the words sent, and for the answer about temperatures."""


def try_stop_path(wire: Wire, break_wait: bytes, speed: float = 1.0) -> StopPath:
    """Test an idle printer; blocks for 0.3 s where the parser works, 3 s at most. Raises PortError.

    `speed`: how many times faster than life a virtual printer's clock runs. The result is untested when a heater is
    on, or when nothing is said about heaters.
    """
    if not _is_cold(wire):
        return UNTESTED
    wire.write(f"M0 P{round(WAIT_S * 1000 * speed)}\n".encode())
    began = time.monotonic()
    if wire.wait_ok(BEGUN_S) is not None:
        return StopPath(tested=True)  # this firmware does not wait: nothing to end
    for attempt in range(1, ATTEMPTS + 1):
        asked = time.monotonic()
        wire.write(break_wait + b"\n")
        if wire.wait_ok(ACTED_S) is None:
            continue
        latency_ms = round((time.monotonic() - asked) * 1000, 1)
        # The word's own ok follows that of the wait. A lone ok was a late one of somebody else.
        if _oks(wire, attempt, SETTLE_S) == attempt:
            return StopPath(EmergencyParser.PROVEN, latency_ms, tested=True)
        break
    _oks(wire, 1 + ATTEMPTS, began + WAIT_S + SETTLE_S - time.monotonic())
    return StopPath(EmergencyParser.ABSENT, tested=True)


def _is_cold(wire: Wire) -> bool:
    """Ask for temperatures; both the report and the ok are awaited, so that no ok of ours is left on its way."""
    wire.write(b"M105\n")
    targets: list[float] = []
    acked = False
    for reply in wire.replies(SETTLE_S):
        acked = acked or isinstance(reply, Ok)
        if isinstance(reply, TemperatureReport):
            targets += [heater.target for heater in reply.heaters.values()]
        if acked and targets:
            break
    return acked and bool(targets) and all(target <= 0 for target in targets)


def _oks(wire: Wire, most: int, timeout_s: float) -> int:
    """Read until `most` oks have come; returns how many did."""
    seen = 0
    for reply in wire.replies(timeout_s):
        seen += isinstance(reply, Ok)
        if seen == most:
            break
    return seen
