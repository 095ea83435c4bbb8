"""From one reply line to its replies. Sorted by the first character, so that common lines cost one match."""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.printer.replies import faults, reports
from agent.printer.replies.kinds import (
    Action,
    Busy,
    BusyKind,
    CurrentLine,
    ErrorSeverity,
    Greeting,
    Halted,
    HaltReason,
    Info,
    Model,
    Ok,
    PrinterError,
    Reply,
    ResetCause,
    Setting,
    Skip,
    Unknown,
    Wait,
)

MAX_LINE_BYTES = 4096
"""What of a line is looked at. The longest known lines (M115, M409) have under 2 kB."""

_BLANKS = b" \t\r\n\x00"
_PLAIN_OK: tuple[Reply, ...] = (Ok(),)
_WAIT: tuple[Reply, ...] = (Wait(),)
_BUSY_PROCESSING: tuple[Reply, ...] = (Busy(BusyKind.PROCESSING, "processing"),)

_ADVANCED_OK = re.compile(r"ok(?: N(\d{1,10}))?(?: P(\d{1,5}))?(?: B(\d{1,5}))?\Z")
_NUMBERED_OK = re.compile(r"ok (\d{1,10})(?=\s|\Z)\s*")
_BARE_LINE = re.compile(r"Line:\s*(\d{1,10})\Z")
_SKIP = re.compile(r"skip\s*:?\s*N?(\d{1,10})\Z")
_SETTING = re.compile(r"(?:[GM]\d{1,4}(?:\.\d)?(?:\s|$)|;)")
_ACTION = re.compile(r"//\s*action:\s*([A-Za-z0-9_]+)\s*:?\s*(.*)\Z", re.DOTALL)
_RESET_CAUSES = frozenset(
    {"PowerUp", "External Reset", "Brown out Reset", "Watchdog Reset", "Software Reset", "Reset"}
)
_EXACT: dict[str, tuple[Reply, ...]] = {
    "wait": _WAIT,
    "Smoothie": (Greeting("Smoothie"),),
    **{cause: (ResetCause(cause),) for cause in _RESET_CAUSES},
}
_PRINTABLE = re.compile(r"[\x20-\x7e\t]*\Z")

Parser = Callable[[str], tuple[Reply, ...]]


def parse_line(line: bytes) -> tuple[Reply, ...]:
    """Parse one reply line (without its line end); () for a blank one. Never raises, whatever the bytes."""
    if line == b"ok":
        return _PLAIN_OK
    if len(line) > MAX_LINE_BYTES:
        line = line[:MAX_LINE_BYTES]
    text = line.strip(_BLANKS).decode("latin-1")
    if not text:
        return ()
    if "\x00" in text:
        text = text.replace("\x00", "")
    return _BY_FIRST.get(text[0], _other)(text)


def _ok(text: str) -> tuple[Reply, ...]:
    # A letter behind it makes another word of it; data glued to it is upper case.
    if text[:2] != "ok" or text[2:3].islower():
        return _other(text)
    if text[:4] != "ok T":
        match = _ADVANCED_OK.match(text)
        if match is not None:
            number, planner, queue = match.groups()
            return (Ok(_int(number), _int(planner), _int(queue)),)
        match = _NUMBERED_OK.match(text)
        if match is not None:
            return _with_ok((Ok(int(match[1])),), text[match.end() :])
    return _with_ok(_PLAIN_OK, text[2:].lstrip())


def _int(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def _with_ok(ok: tuple[Reply, ...], rest: str) -> tuple[Reply, ...]:
    """Add what shares a line with an ok: data, or a remark (`ok - ignored`), but never a second ok."""
    if not rest:
        return ok
    found = reports.temperatures(rest) or reports.positions(rest)
    if not found and "NAME" in rest:
        found = reports.firmware(rest)
    if not found:
        found = faults.trouble(rest, rest.lower())
    if not found:
        garbled = _PRINTABLE.match(rest) is None
        return (*ok, Unknown(rest, garbled=True) if garbled else Info(rest))
    return ok + tuple(reply for reply in found if type(reply) is not Ok)


def _temperature(text: str) -> tuple[Reply, ...]:
    found = reports.temperatures(text)
    if not found:
        return _other(text)
    defect = reports.sensor_defect(text) if "D" in text else None
    if defect is not None:
        return (*found, PrinterError(f"the sensor of {defect} is broken: {text}", ErrorSeverity.STOPPED))
    return found


def _position(text: str) -> tuple[Reply, ...]:
    return reports.positions(text) or _other(text)


def _chamber_or_position(text: str) -> tuple[Reply, ...]:
    if text.startswith("Cap:"):
        return reports.capabilities(text)
    # Smoothie's M114 begins `C: X:`, a chamber that lost the head of its line `C:21.5 /0.0`.
    return reports.positions(text) or _temperature(text)


def _error(text: str) -> tuple[Reply, ...]:
    if text[:6].lower() == "error:":
        return faults.error(text, text[6:].strip())
    return _other(text)


def _echo(text: str) -> tuple[Reply, ...]:
    if text == "echo:busy: processing":
        return _BUSY_PROCESSING
    if text[:5] != "echo:":
        return _error(text)
    body = text[5:].lstrip()
    if body.startswith("echo:"):  # Prusa MK3 prints the prefix twice
        body = body[5:].lstrip()
    if body.startswith("busy:"):
        return _busy(body)
    if body in _RESET_CAUSES:
        return (ResetCause(body),)
    return _remark(body)


def _remark(body: str) -> tuple[Reply, ...]:
    lowered = body.lower()
    is_setting = _SETTING.match(body) is not None
    # A settings line may mention any command in its comment; only a refused one (`M104 Invalid extruder 3`)
    # and `M112 Shutdown` mean what they say.
    if is_setting and not any(word in lowered for word in ("invalid", "prevented", "shutdown")):
        return (Setting(body),)
    return faults.unknown_command(body) or faults.trouble(body, lowered) or (Info(body),)


def _busy(text: str) -> tuple[Reply, ...]:
    if not text.startswith("busy:"):
        return _other(text)
    what = text[5:].strip()
    if what == "processing":
        return _BUSY_PROCESSING
    if what.startswith("paused") or "door" in what:
        return (Busy(BusyKind.PAUSED, what),)
    if what.startswith("heating"):
        return (Busy(BusyKind.HEATING, what),)
    return (Busy(BusyKind.OTHER, what),)


def _bed_or_reset(text: str) -> tuple[Reply, ...]:
    return (ResetCause(text),) if text in _RESET_CAUSES else _temperature(text)


def _resend(text: str) -> tuple[Reply, ...]:
    return faults.resend(text) or _other(text)


def _skip_or_start(text: str) -> tuple[Reply, ...]:
    if text == "start":
        return (Greeting(text),)
    match = _SKIP.match(text)
    return (Skip(int(match[1])),) if match else _other(text)


def _slashes(text: str) -> tuple[Reply, ...]:
    match = _ACTION.match(text)
    if match is not None:
        return (Action(match[1].lower(), match[2].strip()),)
    body = text[2:].strip() if text.startswith("//") else text
    if body.startswith("Klipper state:"):
        state = body[14:].strip()
        return (Greeting(body),) if state == "Ready" else (Halted(body, HaltReason.OTHER),)
    return faults.unknown_command(body) or (Info(body),)


def _bang(text: str) -> tuple[Reply, ...]:
    return faults.bang(text) if text[:2] == "!!" else _other(text)


def _firmware(text: str) -> tuple[Reply, ...]:
    if text.startswith("File deleted:") and text.endswith("ok"):
        return (Info(text[:-2]), *_PLAIN_OK)
    return (reports.firmware(text) if "NAME" in text else ()) or _busy_or_fatal(text)


def _busy_or_fatal(text: str) -> tuple[Reply, ...]:
    return faults.fatal(text) if text.startswith("fatal:") else _other(text)


def _json(text: str) -> tuple[Reply, ...]:
    return (Model(text),) if text[0] == "{" and text[-1] == "}" else _other(text)


def _alarm(text: str) -> tuple[Reply, ...]:
    return faults.alarm(text) if text.startswith("ALARM:") else _other(text)


def _other(text: str) -> tuple[Reply, ...]:
    """Tell a line by a word inside it, a greeting behind boot noise; what nobody knows is Unknown."""
    if not _PRINTABLE.match(text):
        # A boot loader at another baud leaves noise before the greeting; a missed reset would be worse.
        return (Greeting("start"),) if text.endswith("start") else (Unknown(text, garbled=True),)
    exact = _EXACT.get(text)
    if exact is not None:
        return exact
    match = _BARE_LINE.match(text)
    if match is not None:
        return (CurrentLine(int(match[1])),)
    if text.startswith("Grbl ") or text.endswith("up and running."):
        return (Greeting(text),)
    if "Error:" in text:  # the head of the line was lost, or something is glued to it
        return faults.error(text, text.partition("Error:")[2].strip())
    return faults.unknown_command(text) or faults.trouble(text, text.lower()) or (Unknown(text),)


_BY_FIRST: dict[str, Parser] = {
    "o": _ok,
    "T": _temperature,
    "B": _bed_or_reset,
    "=": _temperature,
    "X": _position,
    "C": _chamber_or_position,
    "E": _error,
    "e": _echo,
    "b": _busy,
    "R": _resend,
    "r": _resend,
    "s": _skip_or_start,
    "/": _slashes,
    "!": _bang,
    "F": _firmware,
    "N": _firmware,
    "f": _busy_or_fatal,
    "{": _json,
    "A": _alarm,
}
