"""Too early, in time, too late: with a clock that may not be set. Pure.

A Pi has no battery clock. Until the network has set it, wall time is only a lower bound, and three other things
count: how long the broker would still have kept the message (its expiry, on our monotonic clock), when the coordinator
says it sent something (`sent`: the true time is later than that), and nothing: then the answer is "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.domain.events import ClockState, Stamp


class Timeliness(StrEnum):
    """Where a moment lies between `not_before` and `expires`."""

    EARLY = "early"
    DUE = "due"
    LATE = "late"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Now:
    """This moment: what the machine's clocks say, and the true time where that is known (`known_ms`, Unix).

    `least_ms` is a lower bound of the true time.
    """

    stamp: Stamp
    known_ms: int | None
    least_ms: int


@dataclass(frozen=True, slots=True)
class Window:
    """When something may be done. `expires_mono_ms` is a deadline on the monotonic clock of boot `boot`."""

    not_before: int | None = None
    expires: int | None = None
    expires_mono_ms: int | None = None
    boot: str = ""


@dataclass(slots=True)
class CoordinatorClock:
    """Learns the time from what the coordinator sends; `is_trusted`: wall time is right whatever the kernel says."""

    is_trusted: bool = False
    _offset_ms: int | None = None
    _boot: str = ""

    def hear(self, sent_ms: int | None, stamp: Stamp) -> None:
        """Take the sending time of a message that arrived now; the latest one, carried forward, counts."""
        if sent_ms is None:
            return
        if stamp.boot != self._boot:
            self._boot, self._offset_ms = stamp.boot, None
        offset = sent_ms - stamp.mono_ms
        self._offset_ms = offset if self._offset_ms is None else max(self._offset_ms, offset)

    def now(self, stamp: Stamp) -> Now:
        """Return this moment."""
        if self.is_trusted or stamp.clk is not ClockState.UNSYNC:
            return Now(stamp, stamp.t_ms, stamp.t_ms)
        if self._offset_ms is None or stamp.boot != self._boot:
            return Now(stamp, None, stamp.t_ms)
        heard_ms = stamp.mono_ms + self._offset_ms
        return Now(stamp, max(heard_ms, stamp.t_ms), max(heard_ms, stamp.t_ms))


def judge(window: Window, now: Now) -> Timeliness:
    """Return where `now` lies in `window`."""
    has_deadline = window.expires_mono_ms is not None and window.boot == now.stamp.boot
    if has_deadline and now.stamp.mono_ms >= (window.expires_mono_ms or 0):
        return Timeliness.LATE
    if window.expires is not None:
        if now.least_ms > window.expires:
            return Timeliness.LATE
        if now.known_ms is None and not has_deadline:
            return Timeliness.UNKNOWN
    if window.not_before is not None and now.least_ms < window.not_before:
        return Timeliness.EARLY if now.known_ms is not None else Timeliness.UNKNOWN
    return Timeliness.DUE
