"""The gate's verdict on one line: keep it (in its canonical form), leave it out, or refuse the whole file.

Default deny: a job uses only what `catalogue.ALLOWED` lists, a person at the console everything but `HOST_ONLY`.
The temperature ceiling, the one-command-per-line rule and the protocol's framing hold for everybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from agent.domain.artefact import Finding, Severity
from agent.domain.profile import PrinterProfile
from agent.gcode import arguments
from agent.gcode.catalogue import ALLOWED, BARE_LETTERS, DENIED, DROPPED, HOST_ONLY, KLIPPER_ALLOWED
from agent.gcode.command import (
    Command,
    Malformed,
    Parameter,
    parse_head,
    parse_parameters,
    parse_word_parameters,
    render,
)
from agent.gcode.temperatures import HEAT_WORDS, klipper_heater, too_hot
from agent.gcode.text import clean_text

# Marlin refuses 96 characters and more for ever, `N`, number and checksum included (measured: 95 pass, 96 do not);
# a line number has up to 7 digits, so `N1234567 ` and `*255` take 13 of them.
MAX_COMMAND_BYTES = 95 - 13
MAX_KLIPPER_BYTES = 1000  # Klipper's reader has no limit of its own; object outlines are long

_TEXT_WORDS = frozenset({"M117", "M0", "M1"})
_PLAIN_ARGUMENTS = re.compile(r"(?: *[A-Z] *[+-]?[\d.]+| *[A-Z](?= |$))*", re.IGNORECASE)
_REMEDY = "remove the command from the slicer's start, end or custom G-code"


class Origin(StrEnum):
    """Who wants the line sent."""

    JOB = "job"
    CONSOLE = "console"
    SCRIPT = "script"


class Action(StrEnum):
    """What happens to the line."""

    KEEP = "keep"
    DROP = "drop"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one line; `line` is what may be sent (empty unless kept), without a line end."""

    action: Action
    line: str
    findings: tuple[Finding, ...] = ()
    command: Command | None = None
    parameters: tuple[Parameter, ...] = ()


def check_command(
    line: str, profile: PrinterProfile, dialect: str, *, origin: Origin = Origin.CONSOLE
) -> list[Finding]:
    """Return what the rules say about one line (line number 0 in the findings); no error finding: it may be sent."""
    return list(judge(line, profile, dialect, origin=origin).findings)


def canonical(line: bytes) -> bytes:
    """Return the line without its comment and the white space around it."""
    return line.split(b";", 1)[0].strip()


def judge(line: str, profile: PrinterProfile, dialect: str, *, origin: Origin) -> Verdict:
    """Judge one line, with or without comment; an empty line is dropped without a finding."""
    text = line.split(";", 1)[0].strip(" \t\n\r") if origin is Origin.JOB else line.strip(" \t")
    text = text.replace("\t", " ")
    if not text:
        return Verdict(Action.DROP, "")
    head = parse_head(text)
    if bad := _unsendable(text, head):
        return _deny(bad.id, bad.message)
    if isinstance(head, Malformed):
        return _deny(head.id, f"{_shown(text)}: {head.message}", _malformed_remedy(head))
    refusal = _refused_word(head, profile, origin)
    if refusal:
        return refusal
    verdict = (_judge_numbered if head.is_numbered else _judge_word)(head, profile, dialect, origin)
    return _within_length(verdict, dialect)


def _unsendable(text: str, head: Command | Malformed) -> Malformed | None:
    """Characters that end a line, start a checksum or are read differently by every firmware."""
    is_text = isinstance(head, Command) and head.word in _TEXT_WORDS
    if any(char < " " or char == "\x7f" for char in text):
        return Malformed("control_character", f"{_shown(text)}: control characters inside a command")
    if is_text:
        return None
    if not text.isascii():
        return Malformed("malformed_line", f"{_shown(text)}: only ASCII can be sent to a printer")
    if "*" in text:
        return Malformed("line_framing", f"{_shown(text)}: checksums belong to the host")
    if ";" in text:
        return Malformed("malformed_line", f"{_shown(text)}: comments cannot be sent to a printer")
    return None


def _refused_word(head: Command, profile: PrinterProfile, origin: Origin) -> Verdict | None:
    if origin is not Origin.JOB:
        instead = HOST_ONLY.get(head.base)
        if instead is None and head.base[0] == "D" and head.is_numbered:
            instead = "debug codes can erase the firmware"
        return (
            _deny("forbidden_command", f"{head.base} cannot be sent from here", instead) if instead else None
        )
    if head.word in profile.allow_commands and head.base not in HEAT_WORDS:
        return None
    if reason := DENIED.get(head.base):
        return _deny("forbidden_command", f"{head.word} is refused in a print job: it {reason}", _REMEDY)
    if head.base in DROPPED:
        info = _finding("left_out", Severity.INFO, f"{head.word} is left out: {DROPPED[head.base]}")
        return Verdict(Action.DROP, "", (info,), head)
    if head.word in ALLOWED or (head.base[0] == "T" and head.is_numbered) or head.word in KLIPPER_ALLOWED:
        return None
    return _deny(
        "unknown_command",
        f"{head.word} is refused in a print job: it is not on the list of known harmless commands",
        f"{_REMEDY}, or add it to safety.allow_commands of the printer profile if you trust it",
    )


def _judge_numbered(head: Command, profile: PrinterProfile, dialect: str, origin: Origin) -> Verdict:
    if head.word in _TEXT_WORDS:
        return _judge_text(head)
    if head.word == "M486" and "A" in head.rest.upper() and not _PLAIN_ARGUMENTS.fullmatch(head.rest):
        note = _finding("text_cleaned", Severity.INFO, "names of objects (M486 A) are left out")
        return Verdict(Action.DROP, "", (note,), head)
    parameters = parse_parameters(head)
    if isinstance(parameters, Malformed):
        shown = f"{head.word}{head.rest.rstrip()[:60]}"
        return _deny(parameters.id, f"{shown}: {parameters.message}", _malformed_remedy(parameters))
    heat = arguments.check_heat(head, parameters, profile)
    if heat is not None:
        action = Action.DENY if heat.severity is Severity.ERROR else Action.DROP
        return Verdict(action, "", (heat,), head, parameters)
    word = head.word
    if origin is Origin.JOB and word not in profile.allow_commands:
        return _judge_arguments(head, parameters, profile, dialect)
    return Verdict(Action.KEEP, render(word, parameters), (), head, parameters)


def _judge_arguments(
    head: Command, parameters: tuple[Parameter, ...], profile: PrinterProfile, dialect: str
) -> Verdict:
    """Letters, ranges and machine limits of a command that is allowed in a job."""
    if head.base[0] == "T":
        error = arguments.check_tool(head, parameters, profile)
    else:
        bare = head.word in BARE_LETTERS
        error = arguments.check_letters(head, parameters, ALLOWED[head.word], bare_allowed=bare)
    if error:
        return Verdict(Action.DENY, "", (error,), head, parameters)
    parameters, findings = arguments.clamp(head, parameters, profile, dialect)
    if any(finding.severity is Severity.ERROR for finding in findings):
        return Verdict(Action.DENY, "", findings, head, parameters)
    return Verdict(Action.KEEP, render(head.word, parameters), findings, head, parameters)


def _judge_text(head: Command) -> Verdict:
    raw = head.rest.strip()
    if head.word != "M117" and re.fullmatch(r"(?:[SP] *\d{1,9})?", raw, re.IGNORECASE):
        return Verdict(Action.KEEP, f"{head.word} {raw.upper()}".rstrip(), (), head)
    text = clean_text(raw, MAX_COMMAND_BYTES - len(head.word) - 1)
    if text is None:
        note = _finding(
            "text_cleaned", Severity.WARNING, f"the text of {head.word} looks like a command, left out"
        )
        if head.word == "M117":
            return Verdict(Action.DROP, "", (note,), head)
        return Verdict(Action.KEEP, head.word, (note,), head)
    notes: tuple[Finding, ...] = ()
    if text != raw:
        notes = (
            _finding(
                "text_cleaned", Severity.INFO, f"the text of {head.word} is sent as plain ASCII, shortened"
            ),
        )
    return Verdict(Action.KEEP, f"{head.word} {text}".rstrip(), notes, head)


def _judge_word(head: Command, profile: PrinterProfile, dialect: str, origin: Origin) -> Verdict:
    """A Klipper word; on other firmware only what the profile allows is kept in a job."""
    parameters = parse_word_parameters(head)
    if isinstance(parameters, Malformed):
        return _deny(parameters.id, f"{head.word}: {parameters.message}")
    if origin is Origin.JOB and head.word not in profile.allow_commands:
        if dialect != "klipper":
            note = _finding("left_out", Severity.INFO, f"{head.word} is left out: only Klipper knows it")
            return Verdict(Action.DROP, "", (note,), head)
        if over := arguments.check_velocity_limit(head, parameters, profile):
            return Verdict(Action.DROP, "", (over,), head)
    for key in ("TARGET", "TEMP", "TEMPERATURE"):
        if key in parameters and (error := _hot_word(head, parameters, key, profile)):
            return Verdict(Action.DENY, "", (error,), head)
    return Verdict(Action.KEEP, f"{head.word}{head.rest}".rstrip(), (), head)


def _hot_word(head: Command, parameters: dict[str, str], key: str, profile: PrinterProfile) -> Finding | None:
    """A target in a Klipper word; of an unknown heater the lowest ceiling counts."""
    number = re.fullmatch(r"\d{1,6}(?:\.\d{0,6})?", parameters[key])
    if not number:
        return _finding("malformed_line", Severity.ERROR, f"{head.word}: {key} is no plain number")
    heater = klipper_heater(parameters.get("HEATER", ""))
    if heater is None:
        limits = [limit.max_c for limit in (profile.hotend, profile.bed, profile.chamber) if limit]
        reason = f"{key} is above every ceiling known for it" if float(number[0]) > min(limits) else None
    else:
        reason = too_hot(profile, heater, float(number[0]))
    return _finding("temperature_over_limit", Severity.ERROR, f"{head.word}: {reason}") if reason else None


def _within_length(verdict: Verdict, dialect: str) -> Verdict:
    limit = MAX_KLIPPER_BYTES if dialect == "klipper" else MAX_COMMAND_BYTES
    if len(verdict.line) <= limit:
        return verdict
    return _deny(
        "line_too_long",
        f"{_shown(verdict.line)}: {len(verdict.line)} characters; with line number and checksum "
        f"more than {limit} never get through",
        "let the slicer write fewer decimals",
    )


def _deny(identity: str, message: str, remedy: str | None = _REMEDY) -> Verdict:
    return Verdict(Action.DENY, "", (_finding(identity, Severity.ERROR, message, remedy or ""),))


def _finding(identity: str, severity: Severity, message: str, remedy: str = "") -> Finding:
    return Finding(identity, severity, 0, message, remedy)


def _malformed_remedy(malformed: Malformed) -> str:
    if malformed.id == "placeholder":
        return "check the variable's name in the slicer's custom G-code and slice again"
    if malformed.id == "several_commands":
        return "write one command per line"
    if malformed.id == "line_framing":
        return "remove line numbers and checksums; the host adds its own"
    return "slice the part again for a 3D printer"


def _shown(text: str) -> str:
    """Quote the line for a message: printable, short."""
    shown = text.encode("ascii", "backslashreplace").decode("ascii")
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in shown)
    return repr(shown if len(shown) <= 60 else shown[:57] + "...").replace("\\\\", "\\")
