"""What a firmware remembers from the lines it was sent: modes, feedrate, fans, targets, tool. Needed to resume.

`fold` is cheap on large chunks: plain moves are skipped by one regular expression, only the last feedrate is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

# Prepared lines are canonical: capital letters, single blanks, no leading zeros, no comments.
_OTHER = re.compile(rb"\n(?!G[0-3] |G[0-3]\n)([^\n]+)")
_PARAMETER = re.compile(rb" ([A-Z])(-?[0-9.]+)")
_HEATERS = {b"M104": "T", b"M109": "T", b"M140": "B", b"M190": "B", b"M141": "C", b"M191": "C"}
# On these G90 leaves the extruder's own mode (M82, M83) alone; Marlin 2 and Smoothieware set it too.
E_APART = frozenset({"marlin_1", "prusa", "reprap", "repetier", "klipper"})


@dataclass(frozen=True, slots=True)
class ModalState:
    """Modes after some lines.

    Feedrate in mm/min (None before the first F), fans 0..255 by index, targets in °C by heater (`T0`, `B`, `C`);
    `units` is always mm because the gate refuses inches.
    """

    absolute_xyz: bool = True
    absolute_e: bool = True
    feedrate: float | None = None
    fans: dict[int, float] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    tool: int = 0
    units: str = "mm"
    speed_percent: float = 100.0
    flow_percent: float = 100.0
    g90_sets_e: bool = True

    @classmethod
    def start(cls, dialect: str) -> ModalState:
        """Return the state after a reset of a firmware of this dialect."""
        return cls(g90_sets_e=dialect not in E_APART)

    @property
    def fan(self) -> float:
        """Speed of the part fan, 0..255."""
        return self.fans.get(0, 0.0)


def fold(state: ModalState, lines: Iterable[bytes]) -> ModalState:
    """Return the state after these prepared lines (with or without line ends)."""
    return fold_chunk(state, b"\n".join(line.rstrip(b"\n") for line in lines))


def fold_chunk(state: ModalState, chunk: bytes) -> ModalState:
    """Return the state after a chunk of whole prepared lines."""
    text = b"\n" + chunk
    for found in _OTHER.finditer(text):
        state = _apply(state, found[1])
    feedrate = _last_feedrate(text)
    return state if feedrate is None else replace(state, feedrate=feedrate)


def _last_feedrate(text: bytes) -> float | None:
    """Find the last F of a move; F of other commands (G29 F, M900 F) does not count."""
    end = len(text)
    while (at := text.rfind(b" F", 0, end)) >= 0:
        start = text.rfind(b"\n", 0, at) + 1
        if (
            text[start : start + 1] == b"G"
            and text[start + 1 : start + 2] in b"0123"
            and text[start + 2] == 0x20
        ):
            found = re.match(rb"[0-9.]+", text[at + 2 : at + 16])
            if found and float(found[0]) > 0:
                return float(found[0])
        end = at
    return None


def _apply(state: ModalState, line: bytes) -> ModalState:
    word = line.split(b" ", 1)[0]
    if word in (b"G90", b"G91", b"M82", b"M83"):
        return _with_mode(state, word)
    values = {key.decode(): float(number) for key, number in _PARAMETER.findall(line)}
    if word[:1] == b"T" and word[1:].isdigit():
        return replace(state, tool=int(word[1:]))
    if word in (b"M106", b"M107"):
        speed = 0.0 if word == b"M107" else values.get("S", 255.0)
        return replace(state, fans={**state.fans, int(values.get("P", 0)): speed})
    if word in _HEATERS:
        return _with_target(state, _HEATERS[word], values)
    if word == b"M220":
        return replace(state, speed_percent=values.get("S", state.speed_percent))
    return replace(state, flow_percent=values.get("S", state.flow_percent)) if word == b"M221" else state


def _with_mode(state: ModalState, word: bytes) -> ModalState:
    if word in (b"M82", b"M83"):
        return replace(state, absolute_e=word == b"M82")
    absolute = word == b"G90"
    return replace(
        state, absolute_xyz=absolute, absolute_e=absolute if state.g90_sets_e else state.absolute_e
    )


def _with_target(state: ModalState, heater: str, values: dict[str, float]) -> ModalState:
    celsius = values.get("S", values.get("R"))
    if celsius is None:
        return state
    name = f"T{int(values.get('T', state.tool))}" if heater == "T" else heater
    return replace(state, targets={**state.targets, name: celsius})
