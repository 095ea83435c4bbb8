"""Temperature questions to a firmware that counts no lines: the only way to learn whether it still waits for us.

Such a firmware gets one line at a time and answers in order. An answer to an `M105` that was sent behind an
unacknowledged line proves that this line's ok will not come any more. Pure bookkeeping for the line engine.
"""

from __future__ import annotations

from collections import deque

MOST = 16
"""Questions that may be open at once."""
AGAIN_S = 30.0
"""Before asking about the same line again: the line may just take long, and every question waits behind it."""


class Questions:
    """The `M105`s that are not answered yet, each with the line that was open when it was sent."""

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._asked_at = 0.0

    def may_ask(self, line: int, now: float) -> bool:
        """Whether one more question about `line` makes sense."""
        return len(self._open) < MOST and (line not in self._open or now - self._asked_at >= AGAIN_S)

    def asked(self, line: int, now: float) -> None:
        """An `M105` went out while `line` was unacknowledged (0: none was)."""
        self._open.append(line)
        self._asked_at = now

    def answered(self) -> int | None:
        """A temperature answer came: the line that was open when it was asked for; None when nobody asked."""
        return self._open.popleft() if self._open else None

    def __bool__(self) -> bool:
        return bool(self._open)

    def clear(self) -> None:
        """A new session: forget everything."""
        self._open.clear()
