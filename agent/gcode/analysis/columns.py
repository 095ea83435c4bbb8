"""The tokens of a block as one column per letter, and figures that stay in force until they are changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.gcode.analysis.tokens import Flags, Floats, Integers, Tokens

_WORD_STEP = 100_000  # word codes: letter · step + number; numbers of commands are far smaller


def word_code(word: str) -> int:
    """Return the code of a canonical word such as `G1`."""
    return ord(word[0]) * _WORD_STEP + int(word[1:])


class Columns:
    """One block: `words` has a word code per line (0: none), `values(letter)` a figure per line (NaN: not given)."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.lines = tokens.lines
        in_range = (tokens.value >= 0) & (tokens.value < _WORD_STEP)
        first = np.flatnonzero(tokens.is_first & tokens.has_digits & in_range)
        number = tokens.value.take(first)
        whole = number.astype(np.int64)
        # `M862.3` is no `M862`: what has a sub-code is a word of its own, and none that this analysis knows.
        code = np.where(whole == number, tokens.letter.take(first).astype(np.int64) * _WORD_STEP + whole, 0)
        self.words = np.zeros(tokens.lines, np.int64)
        self.words[tokens.line.take(first)] = code
        codes, counts = np.unique(self.words, return_counts=True)
        self.counts: dict[int, int] = dict(zip(codes.tolist(), counts.tolist(), strict=True))
        self._masks: dict[tuple[str, ...], Flags] = {}
        rest = np.flatnonzero(~tokens.is_first & tokens.has_digits)
        self._letters = tokens.letter.take(rest)
        self._values = tokens.value.take(rest)
        self._lines = tokens.line.take(rest)
        self._known: dict[str, Floats] = {}

    def values(self, letter: str) -> Floats:
        """Return the figure with this letter on each line, NaN where there is none."""
        column = self._known.get(letter)
        if column is None:
            column = np.full(self.lines, np.nan)
            chosen = np.flatnonzero(self._letters == ord(letter))
            column[self._lines.take(chosen)] = self._values.take(chosen)
            self._known[letter] = column
        return column

    def named(self, letter: str) -> Flags:
        """Return on which lines the letter stands as a parameter, with or without a figure."""
        found: Flags = np.zeros(self.lines, bool)
        found[self._tokens.line[(self._tokens.letter == ord(letter)) & ~self._tokens.is_first]] = True
        return found

    def has(self, *words: str) -> bool:
        """Whether any of the words stands in the block."""
        return any(word_code(word) in self.counts for word in words)

    def lines_of(self, *words: str) -> Integers:
        """Return the lines that begin with one of the words."""
        if not self.has(*words):
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.mask(*words))

    def mask(self, *words: str) -> Flags:
        """Return which lines begin with one of the words; not to be changed."""
        found = self._masks.get(words)
        if found is None:
            found = np.zeros(self.lines, bool)
            for word in words:
                code = word_code(word)
                if code in self.counts:
                    found |= self.words == code
            self._masks[words] = found
        return found

    def command(self, line: int) -> dict[str, float]:
        """Return letter → figure of one line."""
        begin, end = np.searchsorted(self._lines, [line, line + 1])
        letters, values = self._letters[begin:end].tolist(), self._values[begin:end].tolist()
        return {chr(letter): value for letter, value in zip(letters, values, strict=True)}


def held(column: Floats, before: float) -> Floats:
    """Return the column with every gap filled by the last figure above it, `before` ahead of the first."""
    given = ~np.isnan(column)
    return held_where(column, given, before)


def held_where(column: NDArray[np.float64], given: Flags, before: float) -> Floats:
    """Return, for each line, the last figure at or above it of the lines where `given`; `before` ahead of the first."""
    index = np.where(given, np.arange(len(column)), -1)
    last = np.maximum.accumulate(index) if len(index) else index
    return np.where(last >= 0, column[last], before)


def summed(absolute: Floats, is_set: Flags, steps: Floats | None, before: float) -> Floats:
    """Return a position per line: the last absolute value at or above, plus the relative steps since (None: none)."""
    if steps is None:
        return held_where(absolute, is_set, before)
    travelled = np.cumsum(steps)
    index = np.where(is_set, np.arange(len(steps)), -1)
    last = np.maximum.accumulate(index) if len(index) else index
    base = np.where(last >= 0, absolute[last] - travelled[last], before)
    return base + travelled
