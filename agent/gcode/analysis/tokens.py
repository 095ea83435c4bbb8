"""From G-code text to numbers: every letter with its value, for a whole block at a time.

The text is reduced to capital letters, digits, signs, dots and line ends; then the digits of each number are read eight
at a time with integer arithmetic on whole arrays. Nothing here judges a line: garbage gives garbage numbers, never an
exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]

MAX_DIGITS = 16  # of one number; more are no G-code, the rest is ignored

# One character each: the regex engine then jumps from one to the next.
_COMMENT = re.compile(rb";[^\n]*")
_PARENTHESIS = re.compile(rb"\([^\n]*")
_FRAMING = re.compile(rb"(?m)^N-?\d+|\*\d+$")
_KEPT = bytes(range(65, 91)) + b"0123456789+-.\n"
_UPPER = bytes(range(256)).upper()
_DELETED = bytes(code for code in range(256) if bytes([code]).upper() not in {bytes([k]) for k in _KEPT})
_LETTER, _END, _DOT = 1, 2, 3
_CLASSES = bytes(_LETTER if 65 <= k <= 90 else {10: _END, 46: _DOT}.get(k, 0) for k in range(256))
_POWERS = 10.0 ** np.arange(MAX_DIGITS + 1)
_SIGNS = np.ones(256)
_SIGNS[0x2D] = -1.0
_LAST = np.array([(0x0F0F0F0F0F0F0F0F << 8 * (8 - count)) % (1 << 64) for count in range(9)], np.uint64)
"""What is left of eight digits' characters when only the last `count` of them belong to the number."""
_PAD = b"0" * 8  # so that eight bytes lie before every number


@dataclass(frozen=True, slots=True)
class Tokens:
    """The letters of a block in order: `letter` (ASCII), `value` (0 without digits), `line` (0-based in the block).

    `is_first`: the letter begins its line. `lines`: how many lines the block has.
    """

    letter: Bytes
    value: Floats
    line: Integers
    is_first: Flags
    has_digits: Flags
    lines: int


def tokenise(block: bytes) -> Tokens:
    """Read a block of whole lines, each ended by LF; blanks, comments, line numbers and checksums do not count."""
    text = _reduced(block)
    chars = np.frombuffer(text, np.uint8)
    classes = np.frombuffer(text.translate(_CLASSES), np.uint8)
    at = np.flatnonzero(classes)
    kind = classes[at]
    is_end = kind == _END
    letters = np.flatnonzero(kind == _LETTER)
    line = np.cumsum(is_end).take(letters)
    letters_at = at.take(letters)
    # The last delimiter is a line end, so each letter has one behind it.
    after = letters + 1
    has_dot = kind.take(after) == _DOT
    stop_at = at.take(after + has_dot)
    fraction = np.where(has_dot, stop_at - at.take(after) - 1, 0)
    sign = chars.take(letters_at + 1)
    is_signed = (sign == 0x2D) | (sign == 0x2B)
    length = stop_at - letters_at - 1 - has_dot - is_signed
    # In the text without dots, a number is one run of digits; what stands before a letter is letters, ends and dots.
    dots = letters - np.arange(len(letters)) - line + has_dot
    end_at = stop_at - dots
    mantissa = _digits(
        _PAD + text.translate(None, b"."), end_at + len(_PAD), np.minimum(np.maximum(length, 0), MAX_DIGITS)
    )
    # Dividing gives the same double as reading the decimal text; multiplying by 0.1 would not.
    value = mantissa / _POWERS.take(np.minimum(fraction, MAX_DIGITS))
    value *= _SIGNS.take(sign)
    return Tokens(
        letter=chars.take(letters_at),
        value=value,
        line=line,
        is_first=_begins(kind, letters),
        has_digits=length > 0,
        lines=int(np.count_nonzero(is_end)),
    )


def _reduced(block: bytes) -> bytes:
    if b";" in block:
        block = _COMMENT.sub(b"", block)
    if b"(" in block:
        block = _PARENTHESIS.sub(b"", block)
    if b"N" in block or b"*" in block:
        block = _FRAMING.sub(b"", block)
    text = block.translate(_UPPER, _DELETED)
    return text if text.endswith(b"\n") else text + b"\n"


def _begins(kind: Bytes, letters: Integers) -> Flags:
    """Whether the delimiter before each letter is a line end; the block itself begins a line."""
    first: Flags = kind.take(letters - 1, mode="wrap") == _END
    if letters.size and letters[0] == 0:
        first[0] = True
    return first


def _digits(text: bytes, end_at: Integers, length: Integers) -> Floats:
    """Return the numbers whose last digit stands before `end_at` and that have `length` digits, up to 16."""
    # A view of overlapping little-endian words: word k is the eight bytes from byte k on.
    words = np.ndarray(shape=(len(text) - 7,), dtype="<u8", buffer=text, strides=(1,))
    value = _eight(words[end_at - 8], np.minimum(length, 8)).astype(np.float64)
    long = np.flatnonzero(length > 8)
    if long.size:
        high = _eight(words[end_at[long] - 16], length[long] - 8)
        value[long] += high.astype(np.float64) * 1e8
    return value


def _eight(words: NDArray[np.uint64], length: Integers) -> NDArray[np.uint64]:
    """Read up to eight digits that end a word each: pairs, then fours, then all (a known SWAR method)."""
    words = words & _LAST.take(length)
    words = (words * np.uint64(2561)) >> np.uint64(8)
    words = ((words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    return ((words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)
