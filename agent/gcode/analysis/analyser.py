"""One pass over a G-code file in blocks: constant memory, every figure of `Analysis`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from agent.domain.profile import PrinterProfile
from agent.gcode.analysis.clock import MoveClock
from agent.gcode.analysis.columns import Columns
from agent.gcode.analysis.machine import Machine
from agent.gcode.analysis.path import PathReader
from agent.gcode.analysis.result import Analysis
from agent.gcode.analysis.tally import Tally
from agent.gcode.analysis.tokens import Floats, Integers, tokenise
from agent.gcode.blocks import BlockReader
from agent.gcode.modal import E_APART

TIME_STEP = 200  # lines between two entries of the index: seconds of printing, kilobytes for a large file
MAX_SPLITS = 50  # changes of limits within one block that are followed exactly; more is no slicer's work
_MAX_WORDS = 100

_LIMITS = ("M201", "M203", "M205", "M220", "M221")
_WAITS = ("M109", "M190", "M191", "M0", "M1", "M600", "M601")


class Analyser:
    """Feed it blocks of whole lines, then read `result`."""

    def __init__(self, profile: PrinterProfile, dialect: str, *, step: int = TIME_STEP) -> None:
        self._machine = Machine.of(profile)
        self._path = PathReader(self._machine, e_apart=dialect in E_APART)
        self._clock = MoveClock()
        self._tally = Tally()
        self._index = TimeIndex(step)
        self._lines = 0
        self._size_bytes = 0
        self._dwell_s = 0.0
        self._counts: Counter[int] = Counter()

    def feed(self, block: bytes) -> None:
        """Take a block of whole lines, each ended by LF."""
        self._size_bytes += len(block)
        for part in self._parts(block):
            self._read(part)

    def result(self) -> Analysis:
        """Let the machine come to rest and return all figures."""
        self._settle(*self._clock.finish(self._machine))
        tally = self._tally
        words = {_word(code): count for code, count in self._counts.most_common(_MAX_WORDS) if code}
        return Analysis(
            lines=self._lines,
            size_bytes=self._size_bytes,
            seconds=self._clock.seconds + self._dwell_s,
            dwell_s=self._dwell_s,
            step=self._index.step,
            times=self._index.times(self._lines),
            printed_box=tally.printed.box,
            travelled_box=tally.travelled.box,
            filament_mm=tally.filament.used_mm,
            layers=tuple(tally.heights.found),
            moves=tally.moves,
            arcs=tally.arcs,
            retractions=tally.retractions,
            printed_mm=tally.printed_mm,
            travelled_mm=tally.travelled_mm,
            waits=sum(words.get(word, 0) for word in _WAITS),
            homings=words.get("G28", 0),
            tool_changes=sum(count for word, count in words.items() if word.startswith("T")),
            rule=self._machine.rule.value,
            commands=words,
        )

    def _parts(self, block: bytes) -> Iterator[Columns]:
        """Cut the block behind each command that changes limits, so that each part has one set of them."""
        columns = Columns(tokenise(block))
        changes = columns.lines_of(*_LIMITS)
        if not len(changes):
            yield columns
            return
        if len(changes) > MAX_SPLITS:
            for line in changes.tolist():
                self._change(columns, line)
            yield columns
            return
        lines = block.splitlines(keepends=True)
        begin = 0
        for line in changes.tolist():
            if line > begin:
                yield Columns(tokenise(b"".join(lines[begin:line])))
            begin = line
            self._change(columns, line)
        yield Columns(tokenise(b"".join(lines[begin:])))

    def _change(self, columns: Columns, line: int) -> None:
        word = _word(int(columns.words[line]))
        self._machine = self._machine.after(word, columns.command(line))
        self._path.machine = self._machine

    def _read(self, columns: Columns) -> None:
        path = self._path.read(columns)
        self._tally.add(path, self._lines)
        self._settle(*self._clock.add(path.moves, path.line + self._lines, self._machine))
        self._dwell(columns)
        if len(self._counts) < 10 * _MAX_WORDS:
            self._counts.update(columns.counts)
        self._lines += columns.lines

    def _dwell(self, columns: Columns) -> None:
        at = columns.lines_of("G4")
        if len(at):
            seconds = np.nan_to_num(columns.values("S")[at]) + np.nan_to_num(columns.values("P")[at]) / 1000
            seconds = np.maximum(seconds, 0.0)
            self._dwell_s += float(seconds.sum())
            self._index.dwell(at + self._lines, seconds)

    def _settle(self, lines: Integers, seconds: Floats) -> None:
        self._index.add(lines, seconds)


class TimeIndex:
    """Time at every `step`-th line. Motion times come in order, dwells apart."""

    def __init__(self, step: int) -> None:
        self.step = step
        self._lines: list[Integers] = []
        self._seconds: list[Floats] = []
        self._dwells: dict[int, float] = {}
        self._last = (-1, 0.0)

    def add(self, lines: Integers, seconds: Floats) -> None:
        """Take file lines (0-based, rising) and the time at the end of the move on each; keep one per step."""
        if not len(lines):
            return
        slot = lines // self.step
        last_of_slot = np.flatnonzero(np.diff(slot, append=slot[-1] + 1))
        self._lines.append(lines[last_of_slot])
        self._seconds.append(seconds[last_of_slot])

    def dwell(self, lines: Integers, seconds: Floats) -> None:
        """Take dwells: seconds that pass on some lines."""
        for line, length in zip((lines // self.step).tolist(), seconds.tolist(), strict=True):
            self._dwells[line] = self._dwells.get(line, 0.0) + length

    def times(self, lines: int) -> tuple[float, ...]:
        """Return the time before line `k · step` (0-based) for every k below the end."""
        count = max(1, -(-lines // self.step))
        grid = np.arange(count) * self.step
        if self._lines:
            at, known = np.concatenate(self._lines), np.concatenate(self._seconds)
            # The last move before a grid line has ended when that line begins.
            before = np.searchsorted(at, grid, side="left") - 1
            moving = np.where(before >= 0, known[before], 0.0)
        else:
            moving = np.zeros(count)
        waited = np.zeros(count + 1)
        for slot, seconds in self._dwells.items():
            waited[min(slot + 1, count)] += seconds
        return tuple(np.round(moving + np.cumsum(waited[:count]), 3).tolist())


def analyse_blocks(
    blocks: Iterable[bytes], profile: PrinterProfile, dialect: str, *, step: int = TIME_STEP
) -> Analysis:
    """Analyse blocks of whole lines."""
    analyser = Analyser(profile, dialect, step=step)
    for block in blocks:
        analyser.feed(block)
    return analyser.result()


def analyse_file(path: Path, profile: PrinterProfile, dialect: str, *, step: int = TIME_STEP) -> Analysis:
    """Analyse a G-code file. OSError when it cannot be read, ArtefactError (not_gcode) for an endless line."""
    with path.open("rb") as file:
        blocks = BlockReader(file, is_hashed=False)
        return analyse_blocks(blocks, profile, dialect, step=step)


def _word(code: int) -> str:
    return f"{chr(code // 100_000)}{code % 100_000}" if code else ""
