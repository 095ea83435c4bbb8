"""What a person may send directly: console lines, homing, heating, answers to prompts. Pure; raises RefusedError."""

from __future__ import annotations

from agent.domain.artefact import Severity
from agent.domain.errors import ConfigError, RefusedError, UsageError
from agent.domain.printer import Prompt
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.gcode.rules import Origin, judge
from agent.printer.handshake import Answered
from agent.printer.procedures import cool_down, scripts_of

AXES = "XYZ"
_SEEKING = frozenset({"G28", "G29", "G30", "G32", "G33", "G34"})


def checked(line: str, profile: PrinterProfile, dialect: str) -> str:
    """The line as it may be sent. Raises RefusedError with the rule that forbids it."""
    verdict = judge(line, profile, dialect, origin=Origin.CONSOLE)
    for finding in verdict.findings:
        if finding.severity is Severity.ERROR:
            raise RefusedError(finding.message, code=finding.id, remedy=finding.remedy)
    if not verdict.line:
        msg = f"{line!r} holds no command"
        raise UsageError(msg, remedy="type one G-code command, for example M105")
    return verdict.line


def check_scripts(profile: PrinterProfile) -> None:
    """Hold the profile's own scripts against the rules. Raises ConfigError with script, line and rule."""
    for name, script in scripts_of(profile).items():
        for line in script:
            for finding in judge(line, profile, profile.dialect, origin=Origin.SCRIPT).findings:
                if finding.severity is Severity.ERROR:
                    msg = f"profile {profile.name}, script {name!r}, {line!r}: {finding.message}"
                    raise ConfigError(msg, remedy=finding.remedy or "Correct the script in the profile.")


def homes(command: str) -> bool:
    """Whether a checked command seeks end stops or the bed (G28 … G34): never beside a half-made part."""
    return command.split(" ", 1)[0] in _SEEKING


def home(axes: str) -> str:
    """G28 for all or some axes."""
    wanted = axes.upper().replace(" ", "")
    if any(axis not in AXES for axis in wanted):
        msg = f"{axes!r} are no axes"
        raise UsageError(msg, remedy="name any of X, Y and Z, or none for all")
    return " ".join(["G28", *wanted])


def heat(heater: str, celsius: float, profile: PrinterProfile) -> str:
    """Set a target; `heater` is `T0`, `T1` …, `B` (bed) or `C` (chamber)."""
    key = {"HOTEND": "T0", "NOZZLE": "T0", "BED": "B", "CHAMBER": "C"}.get(heater.upper(), heater.upper())
    limits = _limits(key, profile)
    if limits is None:
        msg = f"this printer has no heater {heater!r}"
        raise UsageError(
            msg, remedy="heaters: hotend (T0), bed (B), chamber (C), as far as the profile has them"
        )
    if not 0 <= celsius <= limits.max_c:
        msg = f"{celsius:g} °C for {heater} is outside 0 to {limits.max_c:g} °C"
        raise RefusedError(msg, code="too_hot", remedy="the limit stands in the printer profile")
    if key == "B":
        return f"M140 S{celsius:g}"
    if key == "C":
        return f"M141 S{celsius:g}"
    return f"M104 S{celsius:g}" if key == "T0" else f"M104 {key} S{celsius:g}"


def cool(profile: PrinterProfile) -> list[str]:
    """Everything off."""
    return cool_down(profile)


def answer(choice: int, prompt: Prompt, identity: Answered) -> bytes:
    """The bytes that answer a prompt: M876 where host prompts are supported, else M108 (go on)."""
    if prompt.choices and not 0 <= choice < len(prompt.choices):
        listed = ", ".join(f"{index} {text}" for index, text in enumerate(prompt.choices))
        msg = f"{choice} is no answer to {prompt.text!r}"
        raise UsageError(msg, remedy=f"Choices: {listed}.")
    capabilities = identity.firmware.capabilities if identity.firmware else {}
    if capabilities.get("PROMPT_SUPPORT"):
        return f"M876 S{choice}\n".encode()
    return b"M108\n"


def _limits(key: str, profile: PrinterProfile) -> HeaterLimits | None:
    if key == "B":
        return profile.bed
    if key == "C":
        return profile.chamber
    if key.startswith("T") and key[1:].isdigit() and int(key[1:]) < profile.extruders:
        return profile.hotend
    return None
