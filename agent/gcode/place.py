"""Where the nozzle is after some prepared lines, and what they have set on the machine. Pure.

Needed to go on in the middle of a file on a printer that has forgotten everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_PARAMETER = re.compile(rb" ([A-Z])(-?[0-9.]+)?")
_MOVES = frozenset({b"G0", b"G1", b"G2", b"G3"})
# Limits and tuning a file sets once and relies on; the last value of each letter counts.
_SETTINGS = (b"M201", b"M203", b"M204", b"M205", b"M220", b"M221", b"M572", b"M900")
_PROBING = frozenset({b"G29", b"G80"})


@dataclass(slots=True)
class Place:
    """Coordinates in mm after the lines seen so far; None where they do not tell (behind G28 or G29).

    `settings`: word → letter → value. `probed`: the file has measured the bed (G29, G80).
    """

    x: float | None = None
    y: float | None = None
    z: float | None = None
    e: float = 0.0
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    probed: bool = False
    _relative: bool = False
    _relative_e: bool = False

    def follow(self, lines: Iterable[bytes], *, g90_sets_e: bool) -> None:
        """Take further prepared lines, without their ends. `g90_sets_e` as in `ModalState`."""
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word in _MOVES:
                self._move(line)
            elif word in (b"G90", b"G91", b"M82", b"M83"):
                self._mode(word, g90_sets_e=g90_sets_e)
            elif word == b"G28":
                self._forget(rest)
            elif word == b"G92":
                self._set(line)
            elif word in _PROBING:
                self.probed = True
                self._forget(b"")
            elif word in _SETTINGS:
                self._setting(word, line)

    @property
    def setting_commands(self) -> list[str]:
        """The commands that bring the settings back."""
        return [
            " ".join([word, *(f"{letter}{value}" for letter, value in letters.items())])
            for word, letters in self.settings.items()
        ]

    def _move(self, line: bytes) -> None:
        for letter, number in _PARAMETER.findall(line):
            if not number:
                continue
            if letter == b"X":
                self.x = self._next(self.x, float(number))
            elif letter == b"Y":
                self.y = self._next(self.y, float(number))
            elif letter == b"Z":
                self.z = self._next(self.z, float(number))
            elif letter == b"E":
                self.e = self.e + float(number) if self._relative_e else float(number)

    def _next(self, old: float | None, value: float) -> float | None:
        if not self._relative:
            return value
        return None if old is None else old + value

    def _mode(self, word: bytes, *, g90_sets_e: bool) -> None:
        if word in (b"M82", b"M83"):
            self._relative_e = word == b"M83"
            return
        self._relative = word == b"G91"
        if g90_sets_e:
            self._relative_e = self._relative

    def _forget(self, rest: bytes) -> None:
        named = {letter for letter, _ in _PARAMETER.findall(b" " + rest)} & {b"X", b"Y", b"Z"}
        for axis in named or {b"X", b"Y", b"Z"}:
            setattr(self, axis.decode().lower(), None)

    def _set(self, line: bytes) -> None:
        for letter, number in _PARAMETER.findall(line):
            if letter == b"E" and number:
                self.e = float(number)

    def _setting(self, word: bytes, line: bytes) -> None:
        letters = self.settings.setdefault(word.decode(), {})
        letters.update({a.decode(): number.decode() for a, number in _PARAMETER.findall(line) if number})
