"""A received command, taken apart the way firmware does it: one word, then lettered parameters."""

from __future__ import annotations

import re

_WORD = re.compile(r"([A-Z])[ ]*(\d+)(?:\.\d+)?[ ]*")
_PARAMETER = re.compile(r"([A-Z])[ ]*([-+]?(?:\d+\.?\d*|\.\d+))?")
_VALUE_LIMIT = 1e6  # mm, °C, s: no real value is larger, and sums of such values stay exact


class Command:
    """`text` is the bare line. `code` is like "G1", or "" when there is no such word; `rest` follows the word."""

    __slots__ = ("_parameters", "code", "rest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._parameters: dict[str, str] | None = None
        word, _, rest = text.partition(" ")
        if word in _PLAIN_WORDS:
            self.code, self.rest = word, rest
            return
        match = _WORD.match(text)
        if match:
            self.code = f"{match[1]}{int(match[2])}"
            self.rest = text[match.end() :]
        else:
            self.code, self.rest = "", text

    @property
    def parameters(self) -> dict[str, str]:
        """Letter to the text of its number ("" when none follows)."""
        if self._parameters is None:
            self._parameters = dict(_PARAMETER.findall(self.rest))
        return self._parameters

    def numbers(self) -> list[tuple[str, float]]:
        """All letters that have a value, in the order given."""
        found = []
        for letter, digits in _PARAMETER.findall(self.rest):
            if not digits:
                continue
            value = float(digits)
            if not -_VALUE_LIMIT < value < _VALUE_LIMIT:
                value = _VALUE_LIMIT if value > 0.0 else -_VALUE_LIMIT
            found.append((letter, value))
        return found

    def has(self, letter: str) -> bool:
        """Whether the letter is there, with or without a value."""
        return letter in self.parameters

    def number(self, letter: str) -> float | None:
        """The value of a letter, held within ±1e6; None when the letter or its value is absent (`M104 S`)."""
        value = self.parameters.get(letter)
        return max(-_VALUE_LIMIT, min(_VALUE_LIMIT, float(value))) if value else None

    def line_number(self) -> int | None:
        """The value of N, a signed 32-bit number in firmwares (no coordinate, so without the ±1e6 limit), or None."""
        text = self.parameters.get("N")
        return max(-(2**31), min(2**31 - 1, int(float(text)))) if text else None

    def value(self, letter: str, default: float) -> float:
        """The value of a letter, or `default` when there is none."""
        number = self.number(letter)
        return default if number is None else number


# Words as slicers write them: found without a regular expression.
_PLAIN_WORDS = frozenset(
    {"G0", "G1", "G2", "G3", "G92", "M105", "M104", "M106", "M107", "M73", "M117", "M204"}
)
