"""What the firmware has said about its line counter since sending stopped; pure bookkeeping for the line engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """The firmware accepted everything up to `number`; `sure` when two lines of its answer agree on it."""

    number: int
    sure: bool


class Contradiction:
    """`Last Line` and `Resend` of one answer do not fit together: a reply was damaged on its way."""


class Inquiry:
    """One round of reading, possibly asking, until the line is quiet.

    `Last Line: k` and `Resend: k+1` come in pairs from Marlin's kin, alone from others. Replies carry no checksum, so
    a single number is believed only of a firmware that never gives two.
    """

    def __init__(self) -> None:
        self.asks = 0
        self.deadline: float | None = None
        self._last_line: int | None = None
        self._resend: int | None = None
        self._gives_both = False

    def begin(self) -> None:
        """Forget what was said before."""
        self._last_line = self._resend = None

    def asked(self, until: float) -> None:
        """A question went out; its answer is due by `until`."""
        self.begin()
        self.asks += 1
        self.deadline = until

    def last_line(self, number: int) -> None:
        """`Last Line: number` was read."""
        self._last_line = number
        self._gives_both = True

    def resend(self, number: int) -> None:
        """`Resend: number` was read."""
        self._resend = number

    def settle(self, until: float, *, answer_awaited: bool) -> None:
        """Something came: decide when nothing more has come by `until`, but give an awaited answer its time."""
        heard = self._last_line is not None or self._resend is not None
        if heard or not answer_awaited or self.deadline is None:
            self.deadline = until
        else:
            self.deadline = max(self.deadline, until)

    @property
    def is_complete(self) -> bool:
        """Whether both numbers of the only answer that can be on its way have come."""
        return self._last_line is not None and self._resend is not None and self.asks <= 1

    def end(self) -> Statement | Contradiction | None:
        """Close the round: what was said, or None when nothing was."""
        self.deadline = None
        last_line, resend = self._last_line, self._resend
        if last_line is None and resend is None:
            return None
        if last_line is not None and resend is not None:
            return Statement(last_line, sure=True) if last_line + 1 == resend else Contradiction()
        number = last_line if last_line is not None else (resend or 0) - 1
        return Statement(number, sure=not self._gives_both)
