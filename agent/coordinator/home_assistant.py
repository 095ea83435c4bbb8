"""Home Assistant's MQTT discovery: the unit as one device with sensors and buttons, if its owner wants that. Pure.

The device's own document (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, since 2024.11);
checked once against the schemas of Home Assistant 2024.12.5. Its values come from `state/home`, a short message that is
never compressed: templates cannot unpack `state/unit`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from agent.coordinator.messages import Message
from agent.coordinator.topics import Topics
from agent.coordinator.unit_document import UnitFacts
from agent.domain.printer import PrinterSnapshot, PrinterState

PREFIX = "homeassistant"
"""Where Home Assistant looks; its default."""
# A button's command that was on its way for longer than this means something else than it did.
COMMAND_VALID_S = 20
_BUSY = frozenset({
    PrinterState.PRINTING, PrinterState.PAUSING, PrinterState.PAUSED, PrinterState.RESUMING,
    PrinterState.CANCELLING,
})  # fmt: skip
_TROUBLE = frozenset({PrinterState.ATTENTION, PrinterState.HALTED, PrinterState.OFFLINE})
_BUTTONS = {"pause": "mdi:pause", "resume": "mdi:play", "cancel": "mdi:cancel", "stop": "mdi:alert-octagon"}
_HEATERS = {"B": "Bed", "C": "Chamber"}


def discovery(facts: UnitFacts, topics: Topics) -> Message:
    """Return the retained document that makes Home Assistant show the unit."""
    heaters = [f"T{number}" for number in range(facts.profile.extruders)]
    heaters += ["B"] if facts.profile.bed else []
    heaters += ["C"] if facts.profile.chamber else []
    components = {**_sensors(facts.unit, heaters)}
    if not facts.signature_required:
        # Home Assistant cannot sign: where signatures are demanded its buttons would only be refused.
        components |= _buttons(facts.unit, topics, facts.commands)
    document = {
        "dev": {
            "ids": [f"fabunit_{facts.unit}"],
            "name": facts.name or facts.unit,
            "mf": "fabunit",
            "mdl": facts.profile.title or facts.profile.name,
            "sw": facts.version,
        },
        "o": {"name": "fabunit", "sw": facts.version},
        "cmps": components,
        "state_topic": topics.home,
        "availability": [
            {
                "topic": topics.presence,
                "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
            }
        ],
        "qos": 1,
    }
    payload = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    topic = f"{PREFIX}/device/fabunit_{facts.unit}/config"
    return Message(topic, payload, retain=True, content_type="application/json")


def home_state(topics: Topics, seen: PrinterSnapshot, job_name: str | None, *, bed: str) -> Message:
    """Return what the sensors show now; temperatures in whole degrees, so that they do not change all the time."""
    progress = seen.progress
    content = {
        "state": seen.state.value,
        "busy": seen.state in _BUSY,
        "trouble": seen.state in _TROUBLE or seen.prompt is not None,
        "bed": bed,
        "job": job_name or "",
        "progress": round(progress.fraction * 100) if progress else 0,
        "remaining_min": round(progress.remaining_s / 60) if progress and progress.remaining_s else 0,
        "layer": progress.layer if progress and progress.layer is not None else 0,
        "temperatures": {name: round(heater.actual) for name, heater in seen.temperatures.items()},
    }
    payload = json.dumps(content, separators=(",", ":")).encode()
    return Message(topics.home, payload, retain=True, content_type="application/json")


def _sensors(unit: str, heaters: Collection[str]) -> dict[str, dict[str, Any]]:
    states = [state.value for state in PrinterState]
    sensors: dict[str, dict[str, Any]] = {
        "state": {
            **_entity(unit, "state", "State"), "p": "sensor", "device_class": "enum", "options": states,
            "value_template": "{{ value_json.state }}", "icon": "mdi:printer-3d",
        },
        "job": {
            **_entity(unit, "job", "Job"), "p": "sensor", "value_template": "{{ value_json.job }}",
            "icon": "mdi:file-outline",
        },
        "progress": {
            **_entity(unit, "progress", "Progress"), "p": "sensor", "unit_of_measurement": "%",
            "state_class": "measurement", "value_template": "{{ value_json.progress }}", "icon": "mdi:progress-clock",
        },
        "remaining": {
            **_entity(unit, "remaining", "Remaining"), "p": "sensor", "device_class": "duration",
            "unit_of_measurement": "min", "value_template": "{{ value_json.remaining_min }}",
        },
        "layer": {
            **_entity(unit, "layer", "Layer"), "p": "sensor", "state_class": "measurement",
            "value_template": "{{ value_json.layer }}", "icon": "mdi:layers-triple",
        },
        "printing": {
            **_entity(unit, "printing", "Printing"), "p": "binary_sensor", "device_class": "running",
            "value_template": "{{ 'ON' if value_json.busy else 'OFF' }}",
        },
        "trouble": {
            **_entity(unit, "trouble", "Needs a person"), "p": "binary_sensor", "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.trouble else 'OFF' }}",
        },
        "bed": {
            **_entity(unit, "bed", "Bed occupied"), "p": "binary_sensor", "device_class": "occupancy",
            "value_template": "{{ 'OFF' if value_json.bed == 'clear' else 'ON' }}",
        },
    }  # fmt: skip
    for heater in heaters:
        key = f"temperature_{heater.lower()}"
        sensors[key] = {
            **_entity(unit, key, _HEATERS.get(heater, f"Nozzle {heater}")), "p": "sensor",
            "device_class": "temperature", "unit_of_measurement": "°C", "state_class": "measurement",
            "value_template": f"{{{{ value_json.temperatures.{heater} }}}}",
        }  # fmt: skip
    return sensors


def _buttons(unit: str, topics: Topics, allowed: Collection[str]) -> dict[str, dict[str, Any]]:
    """Buttons for what the unit's owner allows; each press is a command of its own that is soon too late."""
    return {
        name: {
            **_entity(unit, name, name.capitalize()),
            "p": "button",
            "icon": icon,
            "command_topic": topics.commands,
            "command_template": (
                f'{{"v":1,"cmd_id":"home-{{{{ (now().timestamp() * 1000) | int }}}}","command":"{name}",'
                f'"expires":{{{{ ((now().timestamp() + {COMMAND_VALID_S}) * 1000) | int }}}}}}'
            ),
        }
        for name, icon in _BUTTONS.items()
        if name in allowed
    }


def _entity(unit: str, key: str, name: str) -> dict[str, Any]:
    return {"name": name, "unique_id": f"fabunit_{unit}_{key}"}
