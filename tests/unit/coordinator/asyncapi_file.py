"""Writes `docs/asyncapi.yaml` from the message models: `python tests/unit/coordinator/asyncapi_file.py`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from agent.coordinator import command_args  # noqa: E402
from agent.coordinator.documents import (  # noqa: E402
    Ack,
    Answer,
    Command,
    Document,
    EventBatch,
    JobDocument,
    LiveSample,
    Presence,
    SignedEnvelope,
    UnitDocument,
    Want,
)
from tests.unit.coordinator import examples  # noqa: E402

FILE = ROOT / "docs" / "asyncapi.yaml"
PLAIN = re.compile(r"[A-Za-z_/#][A-Za-z0-9_ ./#{}+()-]*")
REF = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic: its tail, who sends, what, and how."""

    name: str
    tail: str
    is_up: bool
    models: tuple[tuple[type[Document], dict[str, Any]], ...]
    how: str


CHANNELS = (
    Channel("events", "up/events", True, ((EventBatch, examples.BATCH),), "QoS 1"),
    Channel("live", "up/live", True, ((LiveSample, examples.LIVE),), "QoS 0, expiry 5 s, only under a lease"),
    Channel("results", "up/results", True, ((Answer, examples.ANSWER),), "QoS 1, expiry 1 h"),
    Channel(
        "presence", "state/presence", True, ((Presence, examples.PRESENCE),), "QoS 1, retained, last will"
    ),
    Channel("unit", "state/unit", True, ((UnitDocument, examples.DESCRIPTION),), "QoS 1, retained"),
    Channel(
        "jobs", "down/jobs", False, ((JobDocument, examples.JOB), (SignedEnvelope, examples.SIGNED)), "QoS 1"
    ),
    Channel(
        "commands",
        "down/commands",
        False,
        ((Command, examples.COMMAND), (SignedEnvelope, examples.SIGNED)),
        "QoS 1, with message expiry",
    ),
    Channel("ack", "down/ack", False, ((Ack, examples.ACK),), "QoS 1"),
    Channel("want", "down/want", False, ((Want, examples.WANT),), "QoS 1, retained"),
)


def document() -> dict[str, Any]:
    """Compose the AsyncAPI 3 document. The unit is the application: it sends `up` and `state`, receives `down`."""
    models = list(dict.fromkeys(model for channel in CHANNELS for model, _ in channel.models))
    arguments = [command_args.ARGS[name] for name in sorted(command_args.ARGS)]
    wanted = [(model, "validation") for model in dict.fromkeys([*models, *arguments])]
    _, schemas = models_json_schema(wanted, ref_template=REF)  # type: ignore[arg-type]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "fabunit unit",
            "version": "1",
            "description": "What a fabunit unit says and hears over MQTT 5. Unknown fields are kept, never an error. "
            "Payloads are JSON; with content type application/json+zlib they are compressed. See coordinator.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {_operation_name(channel): _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": _messages(),
            "schemas": schemas["$defs"],
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "address": f"fabunit/v1/{{unit}}/{channel.tail}",
        "description": channel.how,
        "parameters": {"unit": {"description": "the unit id: 3 to 64 lower-case letters, digits and '-'"}},
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model, _ in channel.models
        },
    }


def _operation_name(channel: Channel) -> str:
    return f"{'send' if channel.is_up else 'receive'}_{channel.name}"


def _operation(channel: Channel) -> dict[str, Any]:
    qos = 0 if channel.how.startswith("QoS 0") else 1
    return {
        "action": "send" if channel.is_up else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.how,
        "bindings": {"mqtt": {"qos": qos, "retain": "retained" in channel.how, "bindingVersion": "0.2.0"}},
        "messages": [
            {"$ref": f"#/channels/{channel.name}/messages/{model.__name__}"} for model, _ in channel.models
        ],
    }


def _messages() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for channel in CHANNELS:
        for model, example in channel.models:
            made[model.__name__] = {
                "name": model.__name__,
                "summary": (model.__doc__ or "").strip().split("\n")[0],
                "contentType": "application/json",
                "payload": {"$ref": REF.format(model=model.__name__)},
                "examples": [{"name": "example", "payload": example}],
            }
    return made


def as_yaml(value: Any, indent: int = 0) -> str:
    """Write JSON values as YAML, without needing a library for it."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{pad}{_key(key)}:{_below(item, indent)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}-{_item(item, indent)}" for item in value)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _below(value: Any, indent: int) -> str:
    if isinstance(value, (dict, list)) and value:
        return "\n" + as_yaml(value, indent + 1)
    return f" {json.dumps(value, ensure_ascii=False)}\n"


def _item(value: Any, indent: int) -> str:
    if isinstance(value, (dict, list)) and value:
        return " " + as_yaml(value, indent + 1).lstrip()
    return f" {json.dumps(value, ensure_ascii=False)}\n"


def _key(key: str) -> str:
    return key if PLAIN.fullmatch(key) and key not in ("true", "false", "null") else json.dumps(key)


def text() -> str:
    """Return the whole file."""
    note = "# Generated from the message models: python tests/unit/coordinator/asyncapi_file.py\n"
    return note + as_yaml(document())


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
