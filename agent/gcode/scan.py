"""One pass over a file: plain motion lines in runs, everything else line by line through the rules."""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.domain.artefact import Finding, Severity
from agent.domain.profile import PrinterProfile
from agent.gcode.durations import Timeline
from agent.gcode.finding_log import FindingLog
from agent.gcode.heat_log import HeatLog
from agent.gcode.layers import LayerIndex
from agent.gcode.modal import E_APART
from agent.gcode.motion import Motion
from agent.gcode.plain import plain_run
from agent.gcode.rules import Action, Origin, Verdict, judge

OFFSET_STEP = 200  # lines: some seconds of printing; a million lines make an index of 5,000 entries
MAX_ERRORS = 5000  # a file with so many is refused anyway; do not spend minutes on counting more
_MAX_CACHED = 4096  # spellings of commands other than moves, which are judged once each ...
_MAX_CACHED_BYTES = 96  # ... where they are no longer than a firmware takes

_COMMENT = re.compile(rb";[^\n]*")
_MARK = re.compile(
    rb";(?: ?LAYER_CHANGE[^\n]*(?:\n; ?Z:(?P<z1>[\d.]{1,12}))?"
    rb"| ?CHANGE_LAYER[^\n]*(?:\n; ?Z_HEIGHT: ?(?P<z2>[\d.]{1,12}))?"
    rb"|LAYER:-?\d+[^\n]*(?:\n;Z:(?P<z3>[\d.]{1,12}))?"
    rb"| layer \d+, Z ?= ?(?P<z4>[\d.]{1,12})"
    rb"|TIME_ELAPSED:(?P<elapsed>\d{1,9}(?:\.\d{1,9})?))"
)
# Nothing in the state of the print depends on these, nor they on it.
_STATELESS = frozenset({"M106", "M107", "M201", "M203", "M204", "M205", "M220", "M221", "M400", "M486", "M572",
                        "M900", "G11", "G17", "G21"})  # fmt: skip
_MOVES = frozenset({"G0", "G1", "G2", "G3"})


class Scanner:
    """Feed it the blocks of `BlockReader`; the lines to be streamed go to `sink`, the rest is in its attributes."""

    def __init__(
        self,
        profile: PrinterProfile,
        dialect: str,
        timeline: Timeline,
        sink: Callable[[bytes], None],
    ) -> None:
        self._profile = profile
        self._dialect = dialect
        self._sink = sink
        self._plain = plain_run(profile)
        self._cache: dict[bytes, Verdict] = {}
        self._next_grid = 0
        self.motion = Motion(profile, g90_sets_e=dialect not in E_APART)
        self.heat = HeatLog()
        self.layers = LayerIndex()
        self.timeline = timeline
        self.log = FindingLog(profile.severities)
        self.lines = 0
        self.size_bytes = 0
        self.source_lines = 0
        self.commands = 0
        self.offsets: list[int] = []

    @property
    def is_stopped(self) -> bool:
        """So many errors that the rest need not be read."""
        return self.log.errors >= MAX_ERRORS

    def feed(self, block: bytes) -> None:
        """Take a block of whole lines, each ended by LF."""
        at = 0
        for mark in _MARK.finditer(block):
            start = mark.start()
            if start and block[start - 1] != 0x0A:
                continue
            self._segment(block[at:start])
            at = start
            self._take_mark(mark)
        self._segment(block[at:])

    def finish(self) -> None:
        """Add what can only be said at the end of the file."""
        for finding in self.heat.left_on():
            self.log.add(finding, 0)

    def _take_mark(self, mark: re.Match[bytes]) -> None:
        if (elapsed := mark["elapsed"]) is not None:
            self.timeline.elapsed(self.lines + 1, float(elapsed))
            return
        z = mark["z1"] or mark["z2"] or mark["z3"] or mark["z4"]
        try:
            z_mm = float(z) if z else None
        except ValueError:
            z_mm = None
        self.layers.mark(self.lines + 1, z_mm)

    def _segment(self, text: bytes) -> None:
        """Take whole lines without marks: strip comments (the line ends stay), then runs and single lines."""
        if b";" in text:
            text = _COMMENT.sub(b"", text)
        while b" \n" in text:
            text = text.replace(b" \n", b"\n")
        at, end, counted = 0, len(text), 0
        plain = self._plain
        while at < end:
            if not self.motion.is_relative:
                stop = plain.match(text, at).end()  # type: ignore[union-attr]  # it matches the empty string too
                if stop > at:
                    self._take_run(text[at:stop], text, counted)
                    at = stop
                    continue
            stop = text.index(b"\n", at)
            self.source_lines += text.count(b"\n", counted, at)
            counted = at
            self._take_line(text[at:stop], self.source_lines + 1)
            at = stop + 1
        self.source_lines += text.count(b"\n", counted, end)

    def _take_run(self, run: bytes, text: bytes, counted: int) -> None:
        """Keep a run of plain lines as it is, without the empty ones among them."""
        source_run = run
        while b"\n\n" in run:
            run = run.replace(b"\n\n", b"\n")
        run = run.removeprefix(b"\n")
        if not run:
            return
        for found in self.motion.run(run):
            lines_before = text.count(b"\n", counted, text.index(source_run, counted))
            self.log.add(found.finding, self.source_lines + lines_before + 1 + found.lines_in)
        self.layers.run(run, self.lines + 1, None)
        self._emit(run)
        self.timeline.run(run, self.lines + 1)

    def _take_line(self, raw: bytes, line: int) -> None:
        verdict = self._cache.get(raw)
        if verdict is None:
            verdict = judge(raw.decode("utf-8", "replace"), self._profile, self._dialect, origin=Origin.JOB)
            command = verdict.command
            is_worth = len(raw) <= _MAX_CACHED_BYTES and len(self._cache) < _MAX_CACHED
            if is_worth and command and command.word not in _MOVES:
                self._cache[raw] = verdict
        for finding in verdict.findings:
            self.log.add(finding, line, verdict.command.word if verdict.command else "")
        if verdict.command is not None:
            self.commands += 1
        if verdict.action is not Action.KEEP or verdict.command is None:
            return
        for finding in self._follow(verdict):
            self.log.add(finding, line)
        self._emit(verdict.line.encode("ascii") + b"\n")

    def _follow(self, verdict: Verdict) -> list[Finding]:
        """Let the state of the print follow a line that is kept."""
        command, parameters = verdict.command, verdict.parameters
        word = command.word if command else ""
        if word in _STATELESS:
            return []
        if word in _MOVES:
            findings = self.motion.move(word, parameters)
            rendered = verdict.line.encode("ascii") + b"\n"
            if not self.motion.is_relative:
                self.layers.run(rendered, self.lines + 1, None)
                self.timeline.run(rendered, self.lines + 1)
            return findings
        values = {parameter.letter: parameter.value or 0.0 for parameter in parameters}
        if self.heat.take(word, values):
            self.motion.set_heated(is_hot=self.heat.nozzle_is_hot)
            return []
        return self._follow_other(verdict, word, values)

    def _follow_other(self, verdict: Verdict, word: str, values: dict[str, float]) -> list[Finding]:
        motion = self.motion
        if word == "G28":
            return motion.home(verdict.parameters)
        if word in ("G29", "G80"):
            return motion.probe()
        if word in ("G90", "G91", "M82", "M83"):
            motion.set_mode(word)
        elif word == "G92":
            motion.set_e(values.get("E", 0.0))
        elif word in ("M18", "M84"):
            motion.motors_off(verdict.parameters)
        elif word == "M73":
            minutes = values.get("R")
            self.timeline.remaining(
                self.lines + 1, values.get("P"), None if minutes is None else minutes * 60
            )
        elif word == "G4":
            self.timeline.wait(values.get("S", 0.0) + values.get("P", 0.0) / 1000)
        elif word in self._profile.allow_commands:
            motion.trust_macro()
        return []

    def _emit(self, text: bytes) -> None:
        """Pass lines on, noting the byte offset of every OFFSET_STEP-th one."""
        count = text.count(b"\n")
        while self._next_grid < self.lines + count:
            skip = self._next_grid - self.lines
            inside = len(text) - len(text.split(b"\n", skip)[-1]) if skip else 0
            self.offsets.append(self.size_bytes + inside)
            self._next_grid += OFFSET_STEP
        self.lines += count
        self.size_bytes += len(text)
        if not self.log.errors:
            self._sink(text)


def too_many_errors(log: FindingLog) -> Finding:
    """Return the finding that says why the rest of the file was not read."""
    return Finding(
        "scan_stopped", Severity.ERROR, 0, f"stopped after {log.errors} errors; the rest was not read"
    )
