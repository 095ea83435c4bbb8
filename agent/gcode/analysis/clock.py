"""Adds up the time of moves in order, block by block, looking as far ahead as the firmware's planner."""

from __future__ import annotations

import numpy as np

from agent.gcode.analysis.lookahead import Moves, join, junctions, limited, no_moves, plan
from agent.gcode.analysis.machine import Machine
from agent.gcode.analysis.tokens import Floats, Integers


class MoveClock:
    """Times moves; the last few of a block wait for the next one, because they end at its speed."""

    def __init__(self) -> None:
        self._waiting = no_moves()
        self._lines: Integers = np.zeros(0, np.int64)
        self._entry: Floats = np.zeros(0)
        self._rest: Floats = np.zeros(0)
        self._start_sq: float | None = None
        self.seconds = 0.0

    def add(self, moves: Moves, lines: Integers, machine: Machine) -> tuple[Integers, Floats]:
        """Take moves with their file lines; return the lines that are settled now and the time at the end of each."""
        if not len(moves):
            return self._lines[:0], np.zeros(0)
        fresh = limited(moves, machine)
        count = len(self._waiting)
        every = join(self._waiting, fresh)
        # Junctions of waiting moves are known but for the first fresh one's, which needs its predecessor.
        context = every.part(max(0, count - 1), None)
        entries, rests = junctions(context, machine)
        begin = 1 if count else 0
        entry = np.concatenate((self._entry, entries[begin:]))
        rest = np.concatenate((self._rest, rests[begin:]))
        keep = min(machine.moves_ahead + 1, len(every))
        self._lines = np.concatenate((self._lines, lines))
        return self._settle(every, entry, rest, len(every) - keep, machine.moves_ahead)

    def finish(self, machine: Machine) -> tuple[Integers, Floats]:
        """Settle what waits: the file ends, the machine comes to rest."""
        count = len(self._waiting)
        return self._settle(self._waiting, self._entry, self._rest, count, machine.moves_ahead)

    def _settle(
        self, every: Moves, entry: Floats, rest: Floats, settled: int, moves_ahead: int
    ) -> tuple[Integers, Floats]:
        start_sq = self._start_sq
        if start_sq is None:
            start_sq = float(entry[0]) if len(entry) else 0.0
        seconds, begin = plan(every, entry, rest, moves_ahead, start_sq)
        times = self.seconds + np.cumsum(seconds[:settled])
        if settled:
            self.seconds = float(times[-1])
        self._waiting = every.part(settled, None)
        self._entry, self._rest = entry[settled:], rest[settled:]
        self._start_sq = float(begin[settled]) if settled < len(begin) else None
        lines, self._lines = self._lines[:settled], self._lines[settled:]
        return lines, times
