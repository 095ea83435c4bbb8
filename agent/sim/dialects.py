"""Firmware dialects as data: how each family answers, rejects, halts and reports.

Sources: Marlin bugfix-2.1.x (2025-01-28, and 2024-07-30 for the greeting of a full build) and 2.0.5.3 observed on the
wire; Marlin 1.1, Prusa MK3 3.x, RepRapFirmware 3.x, Repetier 1.0.x, Smoothieware edge and Klipper as their public
sources and user logs describe them. What a firmware was compiled with is its build (`agent.sim.builds`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent.sim import builds, texts
from agent.sim.builds import Feature, UnknownBuildError
from agent.sim.settings import SettingsStyle


class UnknownDialectError(ValueError):
    """The name is no dialect; the message lists the valid names."""


class Numbering(StrEnum):
    """How the line number of an `N` line is judged."""

    STRICT = "strict"  # must be last + 1
    MODULO = "modulo"  # Repetier: must be last + 1, modulo 65536
    IGNORED = "ignored"


class Duplicate(StrEnum):
    """What happens to a line whose number was accepted before."""

    SILENT = "silent"  # Marlin >= 2.1.2, for last and last - 1 only: not even an ok
    REJECT = "reject"  # an error like any other wrong number
    SKIP = "skip"  # Repetier: "skip N" and ok, within 40 lines
    EXECUTE = "execute"  # numbers mean nothing here


class Rejection(StrEnum):
    """How a damaged or misnumbered line is answered."""

    RESEND_OK = "resend_ok"  # Error:, Resend:, ok
    RESEND = "resend"  # "rs N7" and no ok
    SILENT = "silent"  # nothing at all


class AfterHalt(StrEnum):
    """What the board does once it has been killed."""

    SILENCE = "silence"
    REBOOT = "reboot"  # Prusa MK3 restarts by itself
    RESET = "reset"  # RepRapFirmware: silence until M999, which resets it
    REFUSE = "refuse"  # "!!" and no ok, until M999
    REFUSE_OK = "refuse_ok"  # "!! reason" and ok, until FIRMWARE_RESTART


class ReportStyle(StrEnum):
    """Layout of temperature reports."""

    MARLIN = "marlin"
    MARLIN_OLD = "marlin_old"
    PRUSA = "prusa"
    RRF = "rrf"
    REPETIER = "repetier"
    SMOOTHIE = "smoothie"
    KLIPPER = "klipper"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One firmware family. Texts carry no line end.

    `error_eol` ends the lines about line numbers, `message_eol` texts that a command hands on: Marlin 2 prints them
    with another routine than the rest.
    """

    name: str
    banner: tuple[str, ...]
    reset_line: str | None
    m115: tuple[str, ...]
    says_start: bool = True  # the greeting begins with the line "start"
    features: frozenset[Feature] = builds.FULL  # of the build; the usual one unless another was asked for
    builds: dict[str, frozenset[Feature]] = field(default_factory=dict)  # by name, the usual one first
    error_eol: str = "\n"
    message_eol: str = "\n"
    numbering: Numbering = Numbering.STRICT
    checks_checksum: bool = True
    duplicate: Duplicate = Duplicate.SILENT
    rejection: Rejection = Rejection.RESEND_OK
    resend_format: str = "Resend: {n}"
    resend_ok_is_advanced: bool = (
        False  # the ok after a Resend names the line of the next slot (before 2.0.8)
    )
    starless_number_rejected: bool = True  # "N3 M105" without a checksum is an error
    numberless_star_rejected: bool = False  # "M105*3" without a number is an error
    m110_anywhere: bool = True  # the text M110 in any place of a numbered line sets the number
    m110_reports: bool = True  # a bare M110 answers "Line: n"
    m110_sets: bool = True
    max_line_bytes: int | None = 95
    ok_on_receipt: bool = False
    ok_has_number: bool = False  # Repetier: "ok 17"
    ok_for_empty: bool = False
    case_insensitive: bool = False
    report_style: ReportStyle = ReportStyle.MARLIN
    settings_style: SettingsStyle = SettingsStyle.NONE
    eeprom_version: str = ""  # "V90"; Marlin tells at boot what became of the settings
    eeprom_refusal: str = "Error:EEPROM disabled"  # M500 on a build without one
    g92_clears: bool = False  # a bare G92 sets everything to 0
    keeps_native: bool = (
        False  # G92 shifts the coordinates; steps, homing and limits stay those of the machine
    )
    projects_position: bool = (
        False  # the Count of M114 is of the last planned move, not of where the motors are
    )
    homing_lift_mm: float = 0.0
    names_extruders: bool = True  # a tool that is not there is an error even with a single extruder
    action_prefix: str = "// "  # of M118 A1
    busy_processing: str | None = "echo:busy: processing"
    busy_paused: str | None = "echo:busy: paused for user"
    waits: bool = False  # prints "wait" while idle without being told to
    unknown_format: str = 'echo:Unknown command: "{cmd}"'
    m112_echo: tuple[str, ...] = ("echo:M112 Shutdown",)
    kill_lines: tuple[str, ...] = ("Error:Printer halted. kill() called!",)
    thermal_format: str = "Error:{reason}, system stopped! Heater_ID: {heater}"
    after_halt: AfterHalt = AfterHalt.SILENCE
    m112_on_receipt: bool = False  # acts when its line is read, whatever its number
    rolls_back: bool = False  # asks for old lines by itself after a crash
    holds_dead_man: bool = False  # waiting in M600 does not count as inactivity (M85)
    bad_arc: str = "Error:G2/G3 bad parameters"
    cold_text: str = "echo: cold extrusion prevented"
    long_text: str | None = "echo: too long extrusion prevented"  # None: no such limit
    hotend_label: str = "0"  # in thermal errors


_MARLIN_21_BUILDS = {"full": builds.FULL, "host": builds.HOST, "default": builds.DEFAULT}
_MARLIN_21 = Dialect(
    name="marlin-2.1",
    banner=texts.MARLIN_21_BANNER,
    reset_line=" External Reset",
    m115=texts.MARLIN_21_M115,
    builds=_MARLIN_21_BUILDS,
    message_eol="\r\n",
    settings_style=SettingsStyle.MARLIN_21,
    eeprom_version="V90",
    eeprom_refusal="Warning:EEPROM disabled",
    keeps_native=True,
    projects_position=True,
    homing_lift_mm=5.0,
    names_extruders=False,
    action_prefix="//",
    hotend_label="E0",
    holds_dead_man=True,
)

_NEWER_THAN_20 = {Feature.HOST_ACTIONS, Feature.HOST_PROMPTS, Feature.POSITION_REPORTS, Feature.GEOMETRY}
_MARLIN_20_BUILDS = {"full": builds.FULL - _NEWER_THAN_20, "default": builds.DEFAULT}
_MARLIN_20 = replace(
    _MARLIN_21,
    holds_dead_man=False,
    name="marlin-2.0",
    banner=texts.MARLIN_20_BANNER,
    m115=texts.MARLIN_20_M115,
    features=_MARLIN_20_BUILDS["full"],
    builds=_MARLIN_20_BUILDS,
    error_eol="\r\n",
    duplicate=Duplicate.REJECT,
    resend_ok_is_advanced=True,
    m110_reports=False,
    settings_style=SettingsStyle.MARLIN_20,
    eeprom_version="V76",
    eeprom_refusal="Error:EEPROM disabled",
    homing_lift_mm=0.0,
    names_extruders=True,
    action_prefix="// ",
    hotend_label="0",
    m112_echo=(),
)

_MARLIN_11_BUILDS = {
    "full": frozenset({Feature.EEPROM, Feature.DISPLAY, Feature.SPEAKER, Feature.EXTRAS, Feature.INCHES}),
    "default": builds.DEFAULT,
}
_MARLIN_11 = replace(
    _MARLIN_20,
    name="marlin-1.1",
    banner=texts.MARLIN_11_BANNER,
    m115=texts.MARLIN_11_M115,
    features=_MARLIN_11_BUILDS["full"],
    builds=_MARLIN_11_BUILDS,
    error_eol="\n",
    message_eol="\n",
    report_style=ReportStyle.MARLIN_OLD,
    settings_style=SettingsStyle.MARLIN_11,
    eeprom_version="V55",
    projects_position=False,
)

_PRUSA_MK3 = replace(
    _MARLIN_11,
    name="prusa-mk3",
    banner=texts.PRUSA_BANNER,
    reset_line=None,
    m115=texts.PRUSA_M115,
    features=builds.ALL - builds.HOST - {Feature.GEOMETRY},
    builds={},
    resend_ok_is_advanced=False,
    m110_anywhere=False,
    numberless_star_rejected=True,
    report_style=ReportStyle.PRUSA,
    settings_style=SettingsStyle.PRUSA,
    eeprom_version="",
    keeps_native=False,
    m112_on_receipt=True,
    rolls_back=True,
    thermal_format="Error:{heater}: Heaters switched off. {reason}!",
    after_halt=AfterHalt.REBOOT,
)

# Families without such build options have every command; none of them has Marlin's prompts.
_OTHERS = builds.ALL - {Feature.HOST_PROMPTS, Feature.HOST_ACTIONS}

_RRF = Dialect(
    says_start=False,
    name="reprapfirmware",
    features=_OTHERS,
    banner=("RepRapFirmware for Duet 2 WiFi/Ethernet is up and running.",),
    reset_line=None,
    m115=texts.RRF_M115,
    numbering=Numbering.IGNORED,
    duplicate=Duplicate.EXECUTE,
    rejection=Rejection.SILENT,
    starless_number_rejected=False,
    m110_anywhere=False,
    m110_reports=False,
    m110_sets=False,
    max_line_bytes=255,
    case_insensitive=True,
    report_style=ReportStyle.RRF,
    busy_processing=None,
    busy_paused=None,
    unknown_format="Error: Bad command: {cmd}",
    m112_echo=(),
    kill_lines=("Emergency Stop! Reset the controller to continue.",),
    after_halt=AfterHalt.RESET,
    thermal_format="Error: Heating fault on heater {heater}, {reason}",
    m112_on_receipt=True,
    g92_clears=True,
    bad_arc="Error: Bad arc parameters",
    long_text=None,
    cold_text="Warning: Tool 0 was not driven because its heater temperatures were not high enough",
)

_REPETIER = Dialect(
    name="repetier",
    features=_OTHERS - {Feature.EMERGENCY_PARSER},
    banner=texts.REPETIER_BANNER,
    reset_line="External Reset",
    m115=texts.REPETIER_M115,
    numbering=Numbering.MODULO,
    duplicate=Duplicate.SKIP,
    resend_format="Resend:{n}",
    m110_anywhere=False,
    m110_reports=False,
    ok_on_receipt=True,
    ok_has_number=True,
    report_style=ReportStyle.REPETIER,
    busy_processing="busy:processing",
    busy_paused="busy:paused for user interaction",
    waits=True,
    unknown_format="Unknown command:{cmd}",
    m112_echo=(),
    kill_lines=(
        (
            "fatal:Emergency stop - Printer stopped and heaters disabled due to this error. "
            "Fix error and restart with M999."
        ),
    ),
    thermal_format="Error:{reason} Heater_ID: {heater}",
    after_halt=AfterHalt.REFUSE,
    m112_on_receipt=True,
)

_SMOOTHIE = Dialect(
    says_start=False,
    name="smoothieware",
    features=_OTHERS - {Feature.EMERGENCY_PARSER},
    banner=("Smoothie", "ok"),
    reset_line=None,
    m115=texts.SMOOTHIE_M115,
    duplicate=Duplicate.REJECT,
    rejection=Rejection.RESEND,
    resend_format="rs N{n}",
    m110_anywhere=False,
    m110_reports=False,
    max_line_bytes=255,
    ok_for_empty=True,
    case_insensitive=True,
    report_style=ReportStyle.SMOOTHIE,
    busy_processing=None,
    busy_paused=None,
    unknown_format="",
    m112_echo=(),
    kill_lines=("ok Emergency Stop Requested - reset or M999 required to exit HALT state",),
    thermal_format="Error: {reason} on heater {heater}",
    after_halt=AfterHalt.REFUSE,
    m112_on_receipt=True,
)

_KLIPPER = Dialect(
    says_start=False,
    name="klipper",
    features=_OTHERS,
    banner=("// Klipper state: Ready",),
    reset_line=None,
    m115=("FIRMWARE_NAME:Klipper FIRMWARE_VERSION:v0.12.0-272-g13c75ea87",),
    numbering=Numbering.IGNORED,
    checks_checksum=False,
    duplicate=Duplicate.EXECUTE,
    rejection=Rejection.SILENT,
    starless_number_rejected=False,
    m110_anywhere=False,
    m110_reports=False,
    m110_sets=False,
    max_line_bytes=None,
    ok_for_empty=True,
    case_insensitive=True,
    report_style=ReportStyle.KLIPPER,
    busy_processing=None,
    busy_paused=None,
    unknown_format='// Unknown command:"{cmd}"',
    m112_echo=(),
    kill_lines=("!! Shutdown due to M112 command",),
    thermal_format="!! Heater {heater} not heating at expected rate",
    after_halt=AfterHalt.REFUSE_OK,
    g92_clears=True,
    bad_arc="Error: Bad arc parameters",
    long_text=None,
    cold_text="!! Extrude below minimum temp",
)

DIALECTS: dict[str, Dialect] = {
    d.name: d for d in (_MARLIN_21, _MARLIN_20, _MARLIN_11, _PRUSA_MK3, _RRF, _REPETIER, _SMOOTHIE, _KLIPPER)
}


def dialect_named(name: str, build: str | None = None) -> Dialect:
    """The dialect of that name in one of its builds, by default the usual one.

    Raises UnknownDialectError or UnknownBuildError with the valid names.
    """
    dialect = DIALECTS.get(name)
    if dialect is None:
        raise UnknownDialectError(f"no dialect {name!r}; there are {', '.join(DIALECTS)}")
    if build is None:
        return dialect
    if build not in dialect.builds:
        names = ", ".join(dialect.builds) or "none to choose from"
        raise UnknownBuildError(f"{name} has no build {build!r}; there are {names}")
    return replace(dialect, features=dialect.builds[build])
