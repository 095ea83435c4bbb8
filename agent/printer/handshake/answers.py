"""Reading the two answers that name the firmware and its line counter."""

from __future__ import annotations

import json

from agent.domain.printer import FirmwareInfo

USB_CHANNEL = 3
"""RepRapFirmware's inputs: HTTP, Telnet, file, USB, ... (GCodeChannel.h, 3.x)."""

_MACHINE_KEYS = ("MACHINE_TYPE", "ELECTRONICS", "MODEL")


def firmware_info(fields: dict[str, str], capabilities: dict[str, bool]) -> FirmwareInfo:
    """Build the firmware's identity from M115's fields and capabilities."""
    return FirmwareInfo(
        name=fields.get("FIRMWARE_NAME", ""),
        machine=next((fields[key] for key in _MACHINE_KEYS if fields.get(key)), ""),
        uuid=fields.get("UUID", ""),
        fields=dict(fields),
        capabilities=dict(capabilities),
    )


def line_number(text: str) -> int | None:
    """Read M409's `{"key":"inputs[].lineNumber",...,"result":[0,0,0,12]}`, or the same for one input."""
    try:
        result = json.loads(text).get("result")
    except (ValueError, RecursionError, AttributeError):
        return None
    if isinstance(result, list):
        result = result[USB_CHANNEL] if len(result) > USB_CHANNEL else None
    return result if type(result) is int else None
