"""Reply lines that carry trouble: refused lines, errors, halts."""

from __future__ import annotations

import re

from agent.printer.replies.kinds import (
    ErrorSeverity,
    Halted,
    HaltReason,
    Info,
    LastLine,
    LineFault,
    PrinterError,
    Reply,
    Resend,
    Unknown,
    UnknownCommand,
)

_RESEND = re.compile(r"(?:Resend|resend|RESEND|rs)\s*:?\s*(?:N\s*:?\s*)?(-?\d{1,10})(?=\s|$)")
_LAST_LINE = re.compile(r"Last Line:\s*(-?\d{1,10})\s*$")
_EXPECTED_LINE = re.compile(r"expected line (\d{1,10}) got (-?\d{1,10})\s*$")
_UNKNOWN_COMMAND = re.compile(r'[Uu]nknown command:?\s*(?:"([^"]*)"?|(.*))')
_NOT_SUPPORTED = re.compile(r"(.*?): (?:C|c)ommand is not supported")

_FAULTS = (
    ("no line number with checksum", LineFault.NO_LINE_NUMBER),
    ("no checksum", LineFault.NO_CHECKSUM),
    ("line number is not", LineFault.LINE_NUMBER),
    ("checksum mismatch", LineFault.CHECKSUM),
)

# The letters of refusals, to recognise damaged ones: replies carry no checksum. Marlin's and Repetier's words.
_REFUSALS = ("linenumberisnotlastlinenumberlastline", "expectedlinegot")
_NO_LETTER = re.compile(r"[^a-z]")
_LEAST_LETTERS = 12
_ALIKE = 0.85  # two damaged characters of 15

# Lower-case phrases, first hit wins. Sources: Marlin core/language.h and temperature.cpp (1.0 to 2.1),
# Prusa-Firmware temperature.cpp (MK3), Smoothieware TemperatureControl.cpp, klippy/extras/heaters.py.
_HALTS = (
    ("too much inactive time", HaltReason.INACTIVE),
    ("emergency stop", HaltReason.EMERGENCY_STOP),
    ("thermal runaway", HaltReason.RUNAWAY),
    ("temperature runaway", HaltReason.RUNAWAY),
    ("thermal malfunction", HaltReason.RUNAWAY),
    ("thermal anomaly", HaltReason.RUNAWAY),
    ("tm: error triggered", HaltReason.RUNAWAY),
    ("heating failed", HaltReason.HEATING_FAILED),
    ("preheat error", HaltReason.HEATING_FAILED),
    ("not heating at expected rate", HaltReason.HEATING_FAILED),
    ("maxtemp", HaltReason.MAXTEMP),
    ("mintemp", HaltReason.MINTEMP),
    ("halt state", HaltReason.LOCKED),
    ("kill caused by", HaltReason.KILL),
    ("printer halted", HaltReason.KILL),
    ("kill() called", HaltReason.KILL),
)

_M112 = re.compile(r"\bm112\b")
_STOPPED = re.compile(
    r"printer stopped due to errors|stop called because of|heater (?:\d+ )?fault|heating fault|\bm999\b"
)

# What ruins the part although every line is acknowledged (Marlin SERIAL_ECHO_MSG, not Error:).
_JOB_WRONG = re.compile(
    r"extrusion prevented|invalid extruder|invalid tool|home [a-z]{1,6} first|must home|move out of range"
    r"|probing failed|homing failed"
)

# Errors about media, settings memory and transport: nothing of a streamed print depends on them.
_HARMLESS = (
    "sd card",
    "sd init",
    "no media",
    "no card",
    "volume.init",
    "openroot",
    "workdir",
    "open failed",
    "cannot open",
    "can't open",
    "file:",
    "eeprom",
    "stored settings",
    "checksum",
    "format error",
    "case light",
    "rx timeout",
    "full rx buffer",
)


def resend(text: str) -> tuple[Reply, ...]:
    """`Resend: 3`, `Resend:3`, `Resend: N:3`, `rs N3 expected checksum 109`; () when it is none.

    A number that does not end cleanly (`Resend: 4#7`) is noise: obeying half a number would rewind a print.
    """
    match = _RESEND.match(text)
    return (Resend(int(match[1])),) if match else ()


def error(text: str, body: str) -> tuple[Reply, ...]:
    """Classify an `Error:` line; `body` is what follows the prefix."""
    lowered = body.lower()
    match = _LAST_LINE.search(body)
    if match is not None:
        fault = next((fault for phrase, fault in _FAULTS if phrase in lowered), LineFault.OTHER)
        return (LastLine(int(match[1]), fault),)
    match = _EXPECTED_LINE.search(body)
    if match is not None:
        # Repetier names the number it wants, Marlin the one it has.
        return (LastLine(int(match[1]) - 1, LineFault.LINE_NUMBER),)
    return (
        unknown_command(body)
        or trouble(text, lowered)
        or _damaged_refusal(text, lowered)
        or (PrinterError(text, _harmless_or(lowered, ErrorSeverity.JOB_WRONG)),)
    )


def _damaged_refusal(text: str, lowered: str) -> tuple[Reply, ...]:
    """A refused line is no trouble of the job, whatever the wire did to the words that say so."""
    letters = _NO_LETTER.sub("", lowered)
    if len(letters) < _LEAST_LETTERS:
        return ()
    from difflib import SequenceMatcher  # noqa: PLC0415 - 0.2 MiB that only a damaged line needs

    for refusal in _REFUSALS:
        alike = SequenceMatcher(None, letters, refusal[: len(letters) + 2], autojunk=False).ratio()
        if alike >= _ALIKE:
            return (Unknown(text),)
    return ()


def _harmless_or(lowered: str, other: ErrorSeverity) -> ErrorSeverity:
    return ErrorSeverity.HARMLESS if any(phrase in lowered for phrase in _HARMLESS) else other


def halt_reason(lowered: str) -> HaltReason | None:
    """Name the kind of halt a lower-case text speaks of, None when of none."""
    for phrase, reason in _HALTS:
        if phrase in lowered:
            return reason
    return HaltReason.EMERGENCY_STOP if _M112.search(lowered) else None


def trouble(text: str, lowered: str) -> tuple[Reply, ...]:
    """Find a halt, a stop or a ruined job, whatever the prefix; () when the text speaks of none."""
    reason = halt_reason(lowered)
    if reason is not None and "printer stopped due to errors" not in lowered:
        return (Halted(text, reason),)
    if _STOPPED.search(lowered):
        return (PrinterError(text, ErrorSeverity.STOPPED),)
    if _JOB_WRONG.search(lowered):
        return (PrinterError(text, ErrorSeverity.JOB_WRONG),)
    return ()


def unknown_command(body: str) -> tuple[Reply, ...]:
    """`Unknown command: "G999"` (Marlin, Klipper), `M9999: Command is not supported` (RepRapFirmware)."""
    match = _UNKNOWN_COMMAND.match(body)
    if match is not None:
        return (UnknownCommand(match[1] if match[1] is not None else match[2].strip()),)
    match = _NOT_SUPPORTED.match(body)
    return (UnknownCommand(match[1]),) if match else ()


def bang(text: str) -> tuple[Reply, ...]:
    """`!!`: alone it is Smoothie's answer in the halted state, with a text it is a Klipper error."""
    body = text[2:].strip()
    if not body:
        return (Halted(text, HaltReason.LOCKED),)
    lowered = body.lower()
    reason = halt_reason(lowered)
    if reason is not None:
        return (Halted(body, reason),)
    if "shutdown" in lowered or "lost communication" in lowered:
        return (Halted(body, HaltReason.OTHER),)
    return (PrinterError(body, ErrorSeverity.JOB_WRONG),)


def fatal(text: str) -> tuple[Reply, ...]:
    """Repetier's `fatal:<reason> - Printer stopped and heaters disabled ...`: dead until M999."""
    found = trouble(text, text.lower().replace("printer stopped", ""))
    return found if found and isinstance(found[0], Halted) else (Halted(text, HaltReason.OTHER),)


def alarm(text: str) -> tuple[Reply, ...]:
    """GRBL's `ALARM:n`: locked until reset or unlocked."""
    return (Halted(text, HaltReason.LOCKED),) if text.startswith("ALARM:") else (Info(text),)
