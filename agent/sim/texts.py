"""Fixed texts of each firmware family: greeting and M115 answer, one string per line, without line ends."""

from __future__ import annotations

MARLIN_21_BANNER: tuple[str, ...] = (
    "Marlin bugfix-2.1.x",
    "echo: Last Updated: 2025-01-28 | Author: (none, default config)",
    "echo: Compiled: Nov 22 2026",
    "echo: Free Memory: 0  PlannerBufferBytes: 1472",
)

MARLIN_20_BANNER: tuple[str, ...] = (
    "Marlin 2.0.5.3",
    "",
    "echo: Last Updated: 2020-03-31 | Author: (none, default config)",
    "echo:Compiled: Nov 22 2026",
    "echo: Free Memory: 4141  PlannerBufferBytes: 1280",
)

MARLIN_11_BANNER: tuple[str, ...] = (
    "Marlin 1.1.9",
    "",
    "echo: Last Updated: 2018-07-31 | Author: (none, default config)",
    "echo:Compiled: Nov 22 2026",
    "echo: Free Memory: 4141  PlannerBufferBytes: 1232",
)

PRUSA_BANNER: tuple[str, ...] = (
    "echo: 3.14.0-8092_0a1b2c3d",
    "echo: Last Updated: Mar 28 2024 10:02:11 | Author: (none, default config)",
    "echo: Free Memory: 2391  PlannerBufferBytes: 1760",
    "echo:Stored settings retrieved",
    "adc_init",
    "CrashDetect ENABLED!",
)

REPETIER_BANNER: tuple[str, ...] = ("Info:Compiled with eeprom support", "Free RAM:3412")


def _caps(*pairs: tuple[str, int]) -> tuple[str, ...]:
    return tuple(f"Cap:{name}:{value}" for name, value in pairs)


# What depends on the build is written over when M115 is answered.
_MARLIN_CAPS: tuple[tuple[str, int], ...] = (
    ("SERIAL_XON_XOFF", 0),
    ("BINARY_FILE_TRANSFER", 0),
    ("EEPROM", 0),
    ("VOLUMETRIC", 1),
    ("AUTOREPORT_POS", 1),
    ("AUTOREPORT_TEMP", 1),
    ("PROGRESS", 0),
    ("PRINT_JOB", 1),
    ("AUTOLEVEL", 1),
    ("RUNOUT", 0),
    ("Z_PROBE", 1),
    ("LEVELING_DATA", 1),
    ("BUILD_PERCENT", 1),
    ("SOFTWARE_POWER", 0),
    ("TOGGLE_LIGHTS", 0),
    ("CASE_LIGHT_BRIGHTNESS", 0),
    ("EMERGENCY_PARSER", 1),
    ("HOST_ACTION_COMMANDS", 1),
    ("PROMPT_SUPPORT", 1),
    ("SDCARD", 0),
    ("REPEAT", 0),
    ("SD_WRITE", 0),
    ("AUTOREPORT_SD_STATUS", 0),
    ("LONG_FILENAME", 0),
    ("LFN_WRITE", 0),
    ("CUSTOM_FIRMWARE_UPLOAD", 0),
    ("EXTENDED_M20", 0),
    ("THERMAL_PROTECTION", 1),
    ("MOTION_MODES", 0),
    ("ARCS", 1),
    ("BABYSTEPPING", 0),
    ("EP_BABYSTEP", 0),
    ("CHAMBER_TEMPERATURE", 0),
    ("COOLER_TEMPERATURE", 0),
    ("MEATPACK", 0),
    ("CONFIG_EXPORT", 0),
)

MARLIN_21_M115: tuple[str, ...] = (
    (
        "FIRMWARE_NAME:Marlin bugfix-2.1.x (Nov 22 2026 08:27:09) SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin "
        "PROTOCOL_VERSION:1.0 MACHINE_TYPE:fabunit virtual printer KINEMATICS:Cartesian EXTRUDER_COUNT:1 "
        "UUID:cede2a2f-41a2-4748-9b12-c55c62f367ff"
    ),
    *_caps(*_MARLIN_CAPS),
    (
        "area:{full:{min:{x:0.0000,y:0.0000,z:0.0000},max:{x:220.0000,y:220.0000,z:250.0000}},"
        "work:{min:{x:0.0000,y:0.0000,z:0.0000},max:{x:220.0000,y:220.0000,z:250.0000}}}"
    ),
)

_CAPS_NEWER_THAN_20 = {"HOST_ACTION_COMMANDS", "REPEAT", "SD_WRITE", "LONG_FILENAME", "LFN_WRITE", "ARCS"} | {
    "CUSTOM_FIRMWARE_UPLOAD",
    "EXTENDED_M20",
    "BABYSTEPPING",
    "EP_BABYSTEP",
    "RUNOUT",
    "SDCARD",
    "COOLER_TEMPERATURE",
    "MEATPACK",
    "CONFIG_EXPORT",
    "AUTOREPORT_POS",
}

MARLIN_20_M115: tuple[str, ...] = (
    (
        "FIRMWARE_NAME:Marlin 2.0.5.3 (Nov 22 2026 08:27:09) SOURCE_CODE_URL:https://github.com/MarlinFirmware/Marlin "
        "PROTOCOL_VERSION:1.0 MACHINE_TYPE:3D Printer EXTRUDER_COUNT:1 UUID:cede2a2f-41a2-4748-9b12-c55c62f367ff"
    ),
    *_caps(*((name, value) for name, value in _MARLIN_CAPS if name not in _CAPS_NEWER_THAN_20)),
)

MARLIN_11_M115: tuple[str, ...] = (
    (
        "FIRMWARE_NAME:Marlin 1.1.9 (Github) SOURCE_CODE_URL:https://github.com/MarlinFirmware/Marlin "
        "PROTOCOL_VERSION:1.0 MACHINE_TYPE:3D Printer EXTRUDER_COUNT:1 UUID:cede2a2f-41a2-4748-9b12-c55c62f367ff"
    ),
    *_caps(
        ("EEPROM", 1),
        ("VOLUMETRIC", 1),
        ("AUTOREPORT_TEMP", 1),
        ("PROGRESS", 0),
        ("PRINT_JOB", 1),
        ("AUTOLEVEL", 0),
        ("Z_PROBE", 0),
        ("LEVELING_DATA", 0),
        ("BUILD_PERCENT", 0),
        ("SOFTWARE_POWER", 0),
        ("TOGGLE_LIGHTS", 0),
        ("CASE_LIGHT_BRIGHTNESS", 0),
        ("EMERGENCY_PARSER", 0),
        ("AUTOREPORT_SD_STATUS", 0),
        ("THERMAL_PROTECTION", 1),
    ),
)

PRUSA_M115: tuple[str, ...] = (
    (
        "FIRMWARE_NAME:Prusa-Firmware 3.14.0 based on Marlin FIRMWARE_URL:https://github.com/prusa3d/Prusa-Firmware "
        "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Prusa i3 MK3S EXTRUDER_COUNT:1 UUID:00000000-0000-0000-0000-000000000000"
    ),
    *_caps(
        ("AUTOREPORT_TEMP", 1),
        ("AUTOREPORT_FANS", 1),
        ("AUTOREPORT_POSITION", 1),
        ("EXTENDED_M20", 1),
        ("PRUSA_MMU2", 1),
    ),
)

RRF_M115: tuple[str, ...] = (
    (
        "FIRMWARE_NAME: RepRapFirmware for Duet 2 WiFi/Ethernet FIRMWARE_VERSION: 3.5.4 "
        "ELECTRONICS: Duet WiFi 1.02 or later FIRMWARE_DATE: 2024-11-24 10:44:20"
    ),
)

REPETIER_M115: tuple[str, ...] = (
    (
        "FIRMWARE_NAME:Repetier_1.0.4 COMPILED:Nov 22 2026 FIRMWARE_URL:https://github.com/repetier/Repetier-Firmware/ "
        "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Mendel EXTRUDER_COUNT:1 REPETIER_PROTOCOL:3"
    ),
    *_caps(("PROGRESS", 1), ("AUTOREPORT_TEMP", 1), ("EEPROM", 1), ("TOGGLE_LIGHTS", 0), ("SDCARD", 0)),
    "Printed filament:4720.39m Printing time:49 days 17 hours 7 min",
    "PrinterMode:FFF",
)

SMOOTHIE_M115: tuple[str, ...] = (
    (
        "FIRMWARE_NAME:Smoothieware, FIRMWARE_URL:http%3A//smoothieware.org, "
        "X-SOURCE_CODE_URL:https://github.com/Smoothieware/Smoothieware, FIRMWARE_VERSION:edge-6ce309b, "
        "PROTOCOL_VERSION:1.0, X-FIRMWARE_BUILD_DATE:Jul 31 2023 10:21:00, X-SYSTEM_CLOCK:100MHz, X-AXES:5, "
        "X-GRBL_MODE:0, X-ARCS:1, X-CNC:0, X-MSD:1"
    ),
)
