"""Line numbers and checksums as firmware judges them.

The rules are those of Marlin's serial reader: the number is judged before the checksum, a numbered line that
carries the text M110 sets the number wherever the text stands, and the last `*` starts the checksum.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from agent.sim.dialects import Dialect, Duplicate, Numbering

_INTEGER = re.compile(rb"\s*([-+]?\d+)")
_NUMBERED = re.compile(rb"N[-+\d]\d*[ ]*")  # what the G-code parser skips: not "N 10"
_SHOWN_WORD = re.compile(rb"N[-+\d]*")
_LONG_MAX = 2**31 - 1
_REPETIER_MEMORY = 40  # lines back that Repetier answers with "skip"


class Fault(StrEnum):
    """Why a line was rejected; the value is the text of the error line."""

    NUMBER = "Line Number is not Last Line Number+1"
    CHECKSUM = "checksum mismatch"
    NO_CHECKSUM = "No Checksum with line number"
    NO_NUMBER = "No Line Number with checksum"


class Accepted(NamedTuple):
    """A line to execute: its number (None when it had none), its bare text, and the word `N7` it began with.

    The number is the one that counts: in `N500 M110 N41` it is 41, though the word, which numbered oks repeat, is N500.
    """

    number: int | None
    text: bytes
    word: bytes = b""


class Repeated(NamedTuple):
    """A line whose number was accepted before and that is not to be executed."""

    number: int


def xor_checksum(data: bytes) -> int:
    """XOR of all bytes. Folding one big integer beats a loop about fivefold."""
    x = int.from_bytes(data, "big")
    bits = len(data) << 3
    while bits > 1024:  # longer than any Marlin line: fold down to 128 bytes first
        half = ((bits >> 4) + 1) << 3
        x = (x >> half) ^ (x & ((1 << half) - 1))
        bits = half
    x ^= x >> 512
    x ^= x >> 256
    x ^= x >> 128
    x ^= x >> 64
    x ^= x >> 32
    x ^= x >> 16
    return (x ^ (x >> 8)) & 0xFF


def leading_integer(data: bytes) -> int:
    """What C's strtol makes of `data` (0 when there is no number), held within 32 bits as on the boards."""
    match = _INTEGER.match(data)
    return max(-_LONG_MAX, min(_LONG_MAX, int(match[1]))) if match else 0


def bare_text(body: bytes) -> bytes:
    """What the G-code parser sees: up to the first `*` behind the command letter, and without the blanks before it."""
    star = body.find(b"*", 1)
    return body if star < 0 else body[:star].rstrip(b" ")


class LineCounter:
    """The firmware's line counter: `check` judges one received line and moves `last` when it accepts one."""

    def __init__(self, dialect: Dialect) -> None:
        self.last = 0
        self._dialect = dialect
        self._strict = dialect.numbering is Numbering.STRICT

    def check(self, line: bytes) -> Accepted | Repeated | Fault:
        """Judge a received line (no line end, no comment, not empty)."""
        indented = line[0] == 32  # numbered oks do not find the word then
        if indented:
            line = line.lstrip(b" ")
        if line[:1] != b"N":
            if self._dialect.numberless_star_rejected and b"*" in line:
                return Fault.NO_NUMBER
            return Accepted(None, bare_text(line))
        blank = line.find(b" ")
        star = line.rfind(b"*")
        digits, check_digits = line[1:blank], line[star + 1 :]
        if self._strict and star > blank > 1 and digits.isdigit() and check_digits.isdigit() and star < 128:
            number = int(digits)
            if (
                number == self.last + 1
                and b"M110" not in line
                and int(check_digits) == xor_checksum(line[:star])
            ):
                self.last = number
                word = b"" if indented else line[:blank]
                return Accepted(number, bare_text(line[blank + 1 :]).lstrip(b" "), word)
        verdict = self._check_slowly(line, star)
        return verdict._replace(word=b"") if indented and isinstance(verdict, Accepted) else verdict

    def _check_slowly(self, line: bytes, star: int) -> Accepted | Repeated | Fault:
        dialect = self._dialect
        head = _NUMBERED.match(line)
        text = bare_text(line[head.end() :] if head else line)
        sets_number = b"M110" in line if dialect.m110_anywhere else text.startswith(b"M110")
        number_at = 1
        if sets_number:
            second = line.find(b"N", 4)
            number_at = second + 1 if second >= 0 else 1
        number = leading_integer(line[number_at:])
        if self._strict and not sets_number:
            verdict = self._judge_number(number)
            if verdict is not None:
                return verdict
        fault = self._judge_checksum(line, star)
        if fault is not None:
            return fault
        if dialect.numbering is Numbering.MODULO and not sets_number:
            verdict = self._judge_number(number % 65536)
            if verdict is not None:
                return verdict
        if dialect.m110_sets or not sets_number:
            self.last = number % 65536 if dialect.numbering is Numbering.MODULO else number
        shown = _SHOWN_WORD.match(line)
        return Accepted(number, text, shown[0] if shown else b"")

    def _judge_number(self, number: int) -> Repeated | Fault | None:
        if self._dialect.numbering is Numbering.MODULO:
            if number == (self.last + 1) % 65536:
                return None
            behind = (self.last - number) % 65536
            return Repeated(number) if behind < _REPETIER_MEMORY else Fault.NUMBER
        if number == self.last + 1:
            return None
        if self._dialect.duplicate is Duplicate.SILENT and self.last - 1 <= number <= self.last:
            return Repeated(number)
        return Fault.NUMBER

    def _judge_checksum(self, line: bytes, star: int) -> Fault | None:
        if not self._dialect.checks_checksum:
            return None
        if star < 0:
            return Fault.NO_CHECKSUM if self._dialect.starless_number_rejected else None
        return None if leading_integer(line[star + 1 :]) == xor_checksum(line[:star]) else Fault.CHECKSUM
