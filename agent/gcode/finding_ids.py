"""Every finding of the gate with its severity, and which the owner of a machine may make less severe."""

from __future__ import annotations

from agent.domain.artefact import Severity

_ERRORS = """
    temperature_over_limit forbidden_command unknown_command unexpected_argument argument_out_of_range unknown_tool
    malformed_line several_commands line_framing control_character placeholder line_too_long outside_volume below_bed
    not_homed not_heated homes_over_part probes_over_part motors_off nothing_to_print scan_stopped
"""
_WARNINGS = """
    travel_outside_volume moves_before_homing heaters_left_on nozzle_mismatch no_such_heater
"""
_NOTES = "limit_lowered left_out text_cleaned"

SEVERITIES: dict[str, Severity] = {
    **dict.fromkeys(_ERRORS.split(), Severity.ERROR),
    **dict.fromkeys(_WARNINGS.split(), Severity.WARNING),
    **dict.fromkeys(_NOTES.split(), Severity.INFO),
}

# The line of such a finding is kept: what it says about the state of the print can be known better by the owner, for
# example where a macro of the firmware heats and homes. All other errors concern lines that must not be sent.
LOWERABLE = frozenset({"not_homed", "not_heated", "homes_over_part", "probes_over_part"})


def check_severity(identity: str, severity: str) -> None:
    """Raise ValueError unless the owner may give this finding that severity."""
    default = SEVERITIES.get(identity)
    if default is None:
        raise ValueError(f"no finding is called {identity!r}; docs/gcode-gate.md lists them")
    if default is Severity.ERROR and severity != Severity.ERROR.value and identity not in LOWERABLE:
        raise ValueError(f"{identity} is always an error: what it finds must not be sent")
