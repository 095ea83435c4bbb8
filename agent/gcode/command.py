"""One G-code line, parsed strictly: what firmwares read in different ways is `Malformed` here.

Marlin takes leading blanks, `M 104`, `M0104`, lower case and blanks before numbers (gcode/parser.cpp); old
firmwares read `S2e2` as 200; RepRapFirmware takes several commands from one line. All spellings end in one
canonical form, and only that form is judged and sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBERED = re.compile(r"([GMTD]) *([+-]?)0*(\d{1,5})(?:\.(\d{1,3}))?(?![\d.])", re.IGNORECASE)
_WORD = re.compile(r"([A-Za-z_][A-Za-z0-9_]{2,63})(?= |$)")
_PARAMETER = re.compile(
    r' *([A-Z])(?: *(?:([+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))(?![\d.])|("[^"]{0,64}")))?', re.IGNORECASE
)
_EXPONENT = re.compile(r"[\d.][eE][+-]?\d")
_QUOTED = re.compile(r'"[^"]*"')
_WORD_PARAMETER = re.compile(r" *([A-Za-z_][A-Za-z0-9_]{0,63})=(\"[^\"]*\"|[^ \"]*)")
_PLACEHOLDER = re.compile(r"[{}\[\]]")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A letter with its number (None for a bare letter or a quoted string) and the text it is sent with."""

    letter: str
    value: float | None
    raw: str


@dataclass(frozen=True, slots=True)
class Command:
    """The head of a line.

    `word` is canonical (`G1`, `M862.3`, `SET_PIN`), `base` the word without sub-code, `rest` everything behind the
    word, untouched.
    """

    word: str
    base: str
    rest: str

    @property
    def is_numbered(self) -> bool:
        """G, M, T or D with a number, in contrast to a Klipper word."""
        return self.word[0] in "GMTD" and self.word[1:2].isdigit()


@dataclass(frozen=True, slots=True)
class Malformed:
    """The line cannot be read without guessing; `id` is the finding's id."""

    id: str
    message: str


def parse_head(text: str) -> Command | Malformed:
    """Read the command word of a stripped line without its comment."""
    found = _NUMBERED.match(text)
    if found and not found[2]:
        letter, _, digits, sub = found.groups()
        base = f"{letter.upper()}{int(digits)}"
        word = f"{base}.{int(sub)}" if sub and int(sub) else base
        return Command(word, base, text[found.end() :])
    if found_word := _WORD.match(text):
        word = found_word[1].upper()
        return Command(word, word, text[found_word.end() :])
    if text[:1] in "nN" and re.match(r"[nN] *\d", text):
        return Malformed("line_framing", "line numbers belong to the host")
    if _PLACEHOLDER.search(text):
        return Malformed("placeholder", "a slicer variable was left unfilled")
    if text[:1] in "(%/":
        return Malformed("malformed_line", "this looks like G-code for a milling machine")
    return Malformed("malformed_line", "this is no G-code command")


def parse_parameters(command: Command) -> tuple[Parameter, ...] | Malformed:
    """Read the parameters of a G, M or T command; anything left over makes the line Malformed."""
    rest, at = command.rest, 0
    found: list[Parameter] = []
    if _EXPONENT.search(_QUOTED.sub("", rest)):
        return Malformed(
            "malformed_line", "a number with an exponent means different things to different firmwares"
        )
    end = len(rest.rstrip())
    while at < end:
        match = _PARAMETER.match(rest, at)
        if not match:
            return _leftover(rest[at:])
        letter, number, quoted = match[1].upper(), match[2], match[3]
        if letter in "GMN" or any(letter == known.letter for known in found):
            return _surplus(letter, rest)
        raw = (number or "").lstrip("+") if quoted is None else quoted
        found.append(Parameter(letter, float(number) if number else None, raw))
        at = match.end()
    return tuple(found)


def parse_word_parameters(command: Command) -> dict[str, str] | Malformed:
    """Read the `KEY=VALUE` parameters of a Klipper word: keys in capitals, values without quotes."""
    rest, at = command.rest, 0
    found: dict[str, str] = {}
    end = len(rest.rstrip())
    while at < end:
        match = _WORD_PARAMETER.match(rest, at)
        if not match:
            return Malformed("malformed_line", f"cannot read {rest[at:].strip()[:40]!r} as KEY=VALUE")
        found[match[1].upper()] = match[2].strip('"')
        at = match.end()
    return found


def render(word: str, parameters: tuple[Parameter, ...]) -> str:
    """Return the canonical spelling: one blank before each parameter, none inside, numbers as written."""
    return " ".join([word, *(f"{parameter.letter}{parameter.raw}" for parameter in parameters)])


def _leftover(rest: str) -> Malformed:
    text = rest.strip()[:40]
    if _PLACEHOLDER.search(text):
        return Malformed("placeholder", f"a slicer variable was left unfilled in {text!r}")
    if text.startswith("("):
        return Malformed(
            "malformed_line", "comments in parentheses are read differently by different firmwares"
        )
    return Malformed("malformed_line", f"cannot read {text!r}")


def _surplus(letter: str, rest: str) -> Malformed:
    if letter in "GM":
        return Malformed("several_commands", f"more than one command on a line: {rest.strip()[:40]!r}")
    if letter == "N":
        return Malformed("line_framing", "line numbers belong to the host")
    return Malformed("malformed_line", f"parameter {letter} stands twice")
