"""Analyses lines as the gate lets them through, so that a file is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.profile import PrinterProfile
from agent.gcode.blocks import BLOCK_BYTES

if TYPE_CHECKING:
    from agent.gcode.analysis.analyser import Analyser
    from agent.gcode.analysis.result import Analysis


class Follower:
    """Gathers lines to blocks worth an array; numpy is loaded with the first block: a refused file needs none of it."""

    def __init__(self, profile: PrinterProfile, dialect: str, *, step: int) -> None:
        self._profile = profile
        self._dialect = dialect
        self._step = step
        self._analyser: Analyser | None = None
        self._parts: list[bytes] = []
        self._waiting_bytes = 0

    def take(self, lines: bytes) -> None:
        """Take whole lines, each ended by LF."""
        self._parts.append(lines)
        self._waiting_bytes += len(lines)
        if self._waiting_bytes >= BLOCK_BYTES:
            self._feed()

    def result(self) -> Analysis:
        """Return all figures; the last lines have been taken."""
        return self._feed().result()

    def _feed(self) -> Analyser:
        if self._analyser is None:
            # Here, so that a process that only wants the types of the worker has no need of numpy.
            from agent.gcode.analysis.analyser import Analyser  # noqa: PLC0415

            self._analyser = Analyser(self._profile, self._dialect, step=self._step)
        if self._parts:
            self._analyser.feed(b"".join(self._parts))
            self._parts.clear()
            self._waiting_bytes = 0
        return self._analyser
