"""What the firmware has said about its line counter since sending stopped; pure bookkeeping for the line engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """The firmware accepted everything up to `number`; `sure` when two of its numbers agree on it."""

    number: int
    sure: bool


class Contradiction:
    """`Last Line` and `Resend` of one answer do not fit together: a reply was damaged on its way."""


class Inquiry:
    """Rounds of reading, possibly asking, until the line is quiet and the firmware is understood.

    Replies carry no checksum, so no number is believed alone: `Last Line: k` and `Resend: k+1` of one answer must
    agree, or, where one of them is missing, two answers in a row.
    """

    def __init__(self) -> None:
        self.asks = 0
        self.oks = 0
        self.refusals = 0
        self.deadline: float | None = None
        self._last_line: int | None = None
        self._resend: int | None = None
        self._hint: int | None = None

    def begin(self) -> None:
        """A new inquiry: nothing was asked, nothing said."""
        self.asks = self.oks = self.refusals = 0
        self._last_line = self._resend = self._hint = None

    def asked(self, until: float) -> None:
        """A question went out; its answer is due by `until`."""
        self._last_line = self._resend = None
        self.asks += 1
        self.deadline = until

    def last_line(self, number: int) -> None:
        """`Last Line: number` was read."""
        self._last_line = number

    def resend(self, number: int) -> None:
        """`Resend: number` was read."""
        self._resend = number
        self.refusals += 1

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
        sure = number == self._hint
        self._hint = number
        return Statement(number, sure=sure)
