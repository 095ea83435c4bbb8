"""No spelling of a forbidden command gets past the gate, in a file or from the console."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from agent.domain.artefact import Severity
from agent.domain.profile import PrinterProfile
from agent.gcode.catalogue import DENIED, HOST_ONLY
from agent.gcode.rules import Action, Origin, judge
from tests.unit.gcode.gate_runner import Gate

# The comment moves what follows behind the bytes that are looked at for binary content.
PREAMBLE = f";{'-' * 5000}\nG28\nM104 S200\nG1 X10 Y10 Z0.3 F3000\nG1 X20 Y10 E1\n"

# Ways to write a command so that a simple filter does not see it: canonical text → hostile text.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda c: c,
    "lower case": str.lower,
    "leading blanks": lambda c: f"   {c}",
    "leading tab": lambda c: f"\t{c}",
    "blank inside": lambda c: f"{c[0]} {c[1:]}",
    "leading zero": lambda c: f"{c[0]}0{c[1:]}",
    "many zeros": lambda c: f"{c[0]}0000{c[1:]}",
    "zero sub-code": lambda c: re.sub(r"^(\w\d+)", r"\1.0", c),
    "other sub-code": lambda c: re.sub(r"^(\w\d+)", r"\1.1", c),
    "line number": lambda c: f"N7 {c}",
    "number and checksum": lambda c: f"N7 {c}*33",
    "checksum only": lambda c: f"{c}*33",
    "comment behind": lambda c: f"{c} ; nothing to see",
    "comment glued": lambda c: f"{c};x",
    "carriage return": lambda c: f"{c}\r",
    "behind a lone CR": lambda c: f"G1 X30\r{c}",
    "in a comment with CR": lambda c: f"; harmless\r{c}",
    "second command": lambda c: f"G1 X30 {c}",
    "second command, glued": lambda c: f"G1X30{c}",
    "behind a paren comment": lambda c: f"(hello) {c}",
    "NUL in front": lambda c: f"\0{c}",
    "vertical tab": lambda c: f"G1 X30\v{c}",
    "form feed": lambda c: f"G1 X30\f{c}",
    "backspace": lambda c: f"\b{c}",
    "escape": lambda c: f"\x1b{c}",
    "full-width letter": lambda c: f"{chr(ord(c[0]) + 0xFEE0)}{c[1:]}",
    "no-break space": lambda c: f"\u00a0{c}",
}

NUMBERED = sorted(word for word in DENIED if re.fullmatch(r"[GMD]\d+", word))
WORDS = sorted(set(DENIED) - set(NUMBERED))
HOT = ["M104 S261", "M109 S300", "M104 R999", "M109 R261", "M104 T0 S300", "M140 S111", "M190 R200", "M190 S1000",
       "M104 S260.01", "M140 S110.5", "M104 S99999999", "M109 S-1"]  # fmt: skip


def kept(output: bytes | None) -> list[bytes]:
    return [] if output is None else output.splitlines()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_denied_command_is_refused_in_every_spelling(spelling: str, gate: Gate) -> None:
    """One file per command would be slow; one file per spelling must have an error on every line."""
    write = SPELLINGS[spelling]
    for word in NUMBERED:
        line = write(word)
        result = gate(PREAMBLE + line + "\n")
        assert not result.is_printable, f"{line!r} passed"
        assert gate.output is None


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("command", HOT)
def test_too_hot_is_refused_in_every_spelling(spelling: str, command: str, gate: Gate) -> None:
    line = SPELLINGS[spelling](command)
    result = gate(PREAMBLE + line + "\n")
    assert not result.is_printable, f"{line!r} passed"


@pytest.mark.parametrize(
    "line",
    ["M104 S 261", "M104 S+261", "M104S261", "m104s261", "M104  S261", "M104 S0261", "M104 S261.", "M104 T0S261",
     "M104 S2e2", "M104 S2E9", "M104 S0x105", "M104 Sinf", "M104 Snan", "M104 S200 S261", "M104 S200 R261",
     "M104 I5", "M104 B261", "M104 F S200 B300", "M104 S{temperature}", "M104 S[first_layer_temperature]",
     'M104 S"261"', "M104 S2 61", "M104 S2,61", "M104 S--5", "M 1 0 9 S261", "G10 P0 S300", "G10 P0 R300",
     "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=300", "M1 04\nM104 S300", "M109 R 500", "M190 S110.1",
     "M104 S200 ; ok\nM104 S500", "M104 S\uff11\uff19\uff19", "M145 S0 H300", "M303 E0 S300 C8", "M568 P0 S300"],
)  # fmt: skip
def test_hot_targets_in_odd_numbers_are_refused(line: str, gate: Gate) -> None:
    result = gate(PREAMBLE + line + "\n")
    if result.is_printable:
        # Only a line whose text is harmless may survive, and never as a target.
        assert not any(re.match(rb"(M10[49]|M1[49]0|G10|SET_)", found) for found in kept(gate.output)[4:])
    else:
        assert gate.output is None


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("write", [str, str.lower, lambda w: f"{w} A=1", lambda w: f"  {w}"])
def test_denied_words_are_refused(word: str, write: Callable[[str], str], gate: Gate) -> None:
    assert not gate(PREAMBLE + write(word) + "\n", "klipper").is_printable


@pytest.mark.parametrize("line", ["M9999", "G99", "FOO", "foo BAR=1", "Q5", "hello world", "%", "<html>", "$$", "?",
                                  "G1 X1 Y2 Q3", "G1 S1 X5", "G1 H2 X5", "G92 X0", "G92", "M211 S0", "M92 E400",
                                  "M302 P1", "M302 S0", "M302",
                                  "M302 S20", "M118 A1 //action:cancel", "M118 E1 ok", "G20", "G1 X",
                                  "T1", "T-1", "Tx", "T?", "M104 T3 S200", "M220 S500", "M221 S10", "G4 S3600",
                                  "M106 S300", "M203 Z0", "M201 X0", "G1 F-5", "M999\nM112"])  # fmt: skip
def test_unknown_and_unguarded_lines_are_refused(line: str, gate: Gate) -> None:
    assert not gate(PREAMBLE + line + "\n").is_printable


@pytest.mark.parametrize("word", sorted(HOST_ONLY))
@pytest.mark.parametrize("origin", [Origin.CONSOLE, Origin.SCRIPT])
def test_the_console_cannot_send_what_belongs_to_the_host(
    word: str, origin: Origin, profile: PrinterProfile
) -> None:
    for line in {word, word.lower(), f" {word}", f"{word[0]} {word[1:]}" if word[1].isdigit() else word}:
        verdict = judge(line, profile, "marlin", origin=origin)
        assert verdict.action is Action.DENY
        assert any(finding.severity is Severity.ERROR for finding in verdict.findings)


@pytest.mark.parametrize("command", [*HOT, "M145 S0 H300", "M145 S1 B150", "M303 E0 S300 C8", "M303 E-1 S150 C8",
                                     "M568 P0 S300", "G10 P0 S300", "M104.1 S300", "M104 I1", "D3", "D5 Ax1",
                                     "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=300",
                                     "SET_HEATER_TEMPERATURE HEATER=heater_bed TARGET=120",
                                     "SET_HEATER_TEMPERATURE HEATER=unknown TARGET=200",
                                     "PID_CALIBRATE HEATER=extruder TARGET=300"])  # fmt: skip
def test_the_ceiling_holds_at_the_console(command: str, profile: PrinterProfile) -> None:
    for write in (str, str.lower, lambda c: f"  {c}"):
        assert judge(write(command), profile, "marlin", origin=Origin.CONSOLE).action is Action.DENY


@pytest.mark.parametrize("smuggle", ["M105\nM112", "M105\rM112", "M105\x00M104 S300", "M105 ; x\nM112", "G1 X1 M112",
                                     "N1 M105*5", "M105*5", "N5 M112", "M105;M112", "G28 G1 X5",
                                     "M117 hi\nM112"])  # fmt: skip
def test_the_console_takes_one_command_per_line(smuggle: str, profile: PrinterProfile) -> None:
    assert judge(smuggle, profile, "marlin", origin=Origin.CONSOLE).action is Action.DENY


@pytest.mark.parametrize("line", ["M105", "M115", "M503", "M500", "M92 E93", "G28 X", "M114", "G1 X10 F3000", "G92 X0",
                                  "M104 S200", "M140 S60", "M106 S128", "M851 Z-1.2", "M119", "G91", "M17",
                                  "STATUS", "SET_LED LED=top RED=1", "M303 E0 S200 C8", "M280 P0 S10"])  # fmt: skip
def test_a_person_at_the_machine_may_do_more(line: str, profile: PrinterProfile) -> None:
    verdict = judge(line, profile, "marlin", origin=Origin.CONSOLE)
    assert (verdict.action, verdict.line) == (Action.KEEP, line)


def test_the_corpus_is_large_enough() -> None:
    assert len(SPELLINGS) >= 12
    assert len(NUMBERED) * len(SPELLINGS) >= 1500
