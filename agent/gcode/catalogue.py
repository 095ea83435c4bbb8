"""Which commands a print job may use, which the host keeps for itself, and which are refused and why.

The numbers follow the MarlinDocumentation G-code pages, Prusa-Firmware 3.x, RepRapFirmware 3.x and Klipper's
G-Codes.md. What is in none of these tables is refused: an unknown command can do anything.
"""

from __future__ import annotations

# Word → parameter letters a job may use with it.
ALLOWED: dict[str, str] = {
    "G0": "XYZEF",
    "G1": "XYZEF",
    "G2": "XYZEFIJRP",
    "G3": "XYZEFIJRP",
    "G4": "SP",
    "G10": "SPR",
    "G11": "S",
    "G17": "",
    "G21": "",
    "G27": "P",
    "G28": "XYZORLW",
    "G29": "ACEFHJKLPQRSTUVWXY",
    "G80": "NRVLFBCXYWH",
    "G90": "",
    "G91": "",
    "G92": "E",
    "M0": "SP",
    "M1": "SP",
    "M17": "XYZE",
    "M18": "XYZES",
    "M73": "PRQSCDL",
    "M74": "W",
    "M82": "",
    "M83": "",
    "M84": "XYZES",
    "M104": "SRTP",
    "M106": "SPI",
    "M107": "PI",
    "M109": "SRTP",
    "M116": "PHCS",
    "M117": "",
    "M140": "SRP",
    "M141": "SRP",
    "M142": "S",
    "M190": "SRP",
    "M191": "SRP",
    "M201": "XYZET",
    "M203": "XYZET",
    "M204": "PRTS",
    "M205": "XYZESTJB",
    "M220": "SBR",
    "M221": "STD",
    "M302": "S",
    "M400": "",
    "M420": "SZLV",
    "M486": "TSCPU",
    "M555": "XYWH",
    "M572": "DSW",
    "M600": "TBELUXYZR",
    "M601": "",
    "M862.1": "PQTAFLS",
    "M862.2": "PQ",
    "M862.3": "PQ",
    "M862.4": "PQ",
    "M862.5": "PQ",
    "M862.6": "PQ",
    "M900": "KLTD",
}

# Of these a letter without a number is meant so; elsewhere a number is missing.
BARE_LETTERS = frozenset({
    "G28", "G29", "G80", "M17", "M18", "M84", "M220", "M420", "M486",
    "M862.1", "M862.2", "M862.3", "M862.4", "M862.5", "M862.6",
})  # fmt: skip

# Word and letter → smallest and largest number.
RANGES: dict[tuple[str, str], tuple[float, float]] = {
    ("G0", "F"): (0, 100_000),
    ("G1", "F"): (0, 100_000),
    ("G2", "F"): (0, 100_000),
    ("G3", "F"): (0, 100_000),
    ("G2", "P"): (0, 0),  # full extra turns hide the length of the arc
    ("G3", "P"): (0, 0),
    ("G4", "S"): (0, 600),
    ("G4", "P"): (0, 600_000),
    ("G10", "P"): (0, 15),
    ("G27", "P"): (0, 2),
    ("M73", "P"): (0, 100),
    ("M73", "Q"): (0, 100),
    ("M106", "S"): (0, 255),
    ("M106", "P"): (0, 15),
    ("M107", "P"): (0, 15),
    ("M220", "S"): (50, 150),
    ("M221", "S"): (50, 150),
    ("M142", "S"): (0, 100),  # heatbreak of Prusa's newer printers
    ("M302", "S"): (150, 400),  # a higher or usual floor for extrusion; off or lower is refused
    ("M420", "S"): (0, 1),
    ("M572", "S"): (0, 10),
    ("M900", "K"): (0, 200),
}

# Harmless words that belong to the host or say nothing to the print: left out of the stream.
DROPPED: dict[str, str] = {
    "M27": "the host reads the card status",
    "M31": "the host keeps the print time",
    "M70": "display messages of the host",
    "M72": "the host tells the printer what it prints",
    "M75": "the host keeps the print time",
    "M76": "the host keeps the print time",
    "M77": "the host keeps the print time",
    "M85": "the host sets the inactivity timeout",
    "M105": "the host reads temperatures",
    "M110": "the host numbers the lines",
    "M113": "the host sets the keep-alive interval",
    "M114": "the host reads the position",
    "M115": "the host reads the firmware's name",
    "M119": "the host reads the end stops",
    "M150": "lights are not part of a print",
    "M154": "the host sets the reporting of positions",
    "M155": "the host sets the reporting of temperatures",
    "M300": "a beep can hold up the print",
    "M412": "the runout sensor stays as the owner set it",
    "M413": "power-loss recovery stays as the owner set it",
    "M503": "the host reads the settings",
    "M530": "the host knows when the print runs",
    "M531": "the host knows what is printed",
    "M532": "the host keeps the progress",
    "M566": "machine limits for another firmware",
}

KLIPPER_ALLOWED = frozenset({
    "EXCLUDE_OBJECT", "EXCLUDE_OBJECT_DEFINE", "EXCLUDE_OBJECT_START", "EXCLUDE_OBJECT_END",
    "SET_PRESSURE_ADVANCE", "SET_VELOCITY_LIMIT", "SET_PRINT_STATS_INFO",
})  # fmt: skip

_STOP = "stops, resets or switches the machine; that belongs to the person at it"
_STORED = "changes settings that outlive the print"
_CALIBRATION = "changes the calibration that the checks rely on"
_IDENTITY = "changes firmware, network or the serial link"
_PINS = "drives hardware that the unit knows nothing about"
_HEAT = "weakens or bypasses the protection of the heaters"
_MOTION = "switches off end stops, changes motors or moves the coordinate system"
_FILES = "runs or writes files on the printer, whose content nobody has checked"
_CHANNEL = "writes into the answers that the host reads from the printer"


def _group(reason: str, words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), reason)


# Word → reason; a job with one of them is refused.
DENIED: dict[str, str] = {
    **_group(
        _STOP,
        "M108 M112 M410 M999 M80 M81 M86 M87 M524 M602 M603 M2 M30",
    ),
    **_group(
        _STORED,
        "M500 M501 M502 M504 M505 M993 M994 M910 SAVE_CONFIG SAVE_VARIABLE D0 D1 D2 D3 D4 D5 D6 D7 D8 "
        "D9 D10 D12 D20 D21 D80 D81 D106 D2130 D9125",
    ),
    **_group(
        _CALIBRATION,
        "M92 M206 M428 M218 M301 M304 M305 M306 M309 M665 M666 M421 M422 M423 M425 M851 M852 M860 "
        "M861 M863 M864 M865 M866 M867 M868 M869 M871 G30 G31 G32 G33 G34 G35 G38 G42 G76 G81 G425 "
        "M48 M44 M45 M46 Z_OFFSET_APPLY_PROBE Z_OFFSET_APPLY_ENDSTOP SET_GCODE_OFFSET "
        "BED_MESH_CALIBRATE PROBE_CALIBRATE",
    ),
    **_group(
        _IDENTITY,
        "M997 M575 M550 M551 M552 M553 M554 M556 M586 M587 M588 M589 M510 M511 M512 M111 RESTART "
        "FIRMWARE_RESTART",
    ),
    **_group(
        _PINS,
        "M42 M43 M226 M240 M260 M261 M265 M280 M281 M282 M3 M4 M5 M6 M7 M8 M9 M10 M11 M126 M127 M128 "
        "M129 M355 M380 M381 M7219 SET_PIN SET_SERVO",
    ),
    **_group(
        _HEAT,
        "M303 M143 M145 M562 M563 M568 M570 M710 PID_CALIBRATE MPC_CALIBRATE "
        "SET_HEATER_TEMPERATURE TEMPERATURE_WAIT",
    ),
    **_group(
        _MOTION,
        "M211 M120 M121 M564 M350 M351 M569 M906 M907 M908 M909 M911 M912 M913 M914 M915 M916 M917 "
        "M918 M919 M920 M540 M593 M202 M290 G5 G6 G18 G19 G20 G26 G53 G54 G55 G56 G57 G58 G59 G60 G61 "
        "SET_KINEMATIC_POSITION FORCE_MOVE MANUAL_STEPPER STEPPER_BUZZ SET_STEPPER_ENABLE "
        "SET_TMC_CURRENT SET_TMC_FIELD INIT_TMC",
    ),
    **_group(
        _FILES,
        "M20 M21 M22 M23 M24 M25 M26 M28 M29 M32 M33 M34 M36 M928 M808 M810 M811 M812 M813 M814 M815 "
        "M816 M817 M818 M819 M98 M99 SDCARD_PRINT_FILE SDCARD_RESET_FILE SDCARD_LOOP_BEGIN "
        "SDCARD_LOOP_END SDCARD_LOOP_DESIST RUN_SHELL_COMMAND UPDATE_DELAYED_GCODE SET_GCODE_VARIABLE "
        "RESUME CANCEL_PRINT PAUSE",
    ),
    **_group(
        _CHANNEL,
        "M118 RESPOND M876 M16 ECHO",
    ),
}

# Refused from the console and from the unit's own scripts too: word → what to do instead.
HOST_ONLY: dict[str, str] = {
    "M112": "use `fabunit stop`",
    "M108": "use `fabunit cancel`",
    "M410": "use `fabunit stop`",
    "M876": "answer the prompt with `fabunit resume`",
    "M110": "the host numbers the lines",
    "M85": "the host sets the inactivity timeout",
    "M113": "the host sets the keep-alive interval",
    "M154": "the host sets the reporting of positions",
    "M155": "the host sets the reporting of temperatures",
    "M118": "the host would take the text for an answer of the printer",
    "RESPOND": "the host would take the text for an answer of the printer",
    "M28": "every later line would be written to the card instead of being executed",
    "M29": "there is no open file to close",
    "M928": "every later line would be written to the card as well",
    "M23": "print files from the queue: `fabunit print FILE`",
    "M24": "print files from the queue: `fabunit print FILE`",
    "M32": "print files from the queue: `fabunit print FILE`",
    "M98": "print files from the queue: `fabunit print FILE`",
    "M808": "print files from the queue: `fabunit print FILE`",
    "SDCARD_PRINT_FILE": "print files from the queue: `fabunit print FILE`",
    "M997": "disconnect first, then update the firmware with its own tool",
    "M999": "use `fabunit printer connect`",
    "M575": "the serial link would be lost",
    "M143": "the ceiling of a heater is set in the printer profile",
    "M562": "a heater fault needs a reset of the board",
    "M570": "heater supervision stays as the firmware has it",
    "M302": "extruding cold damages the drive; heat the nozzle first",
    "M120": "end stops stay on",
    "M121": "end stops stay on",
    "RUN_SHELL_COMMAND": "run it in a shell",
}
