"""One example of every message, as it stands in `docs/asyncapi.yaml`; tests read each with its model."""

from __future__ import annotations

from typing import Any

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NOW = 1_790_000_000_000
EPOCH = "d660a851ab85e450"
UNIT = "unit-7f3a"

JOB: dict[str, Any] = {
    "v": 1,
    "job_id": "order-1042.3",
    "rev": 1,
    "unit": UNIT,
    "artefact": {
        "sha256": SHA,
        "size": 701760,
        "format": "gcode",
        "url": "https://files.example/9f86d081.gcode",
        "name": "bracket.gcode",
    },
    "material": "PLA",
    "copies": 2,
    "priority": 0,
    "expires": NOW + 86_400_000,
    "require": {"nozzle_mm": 0.4, "volume_mm": [120, 80, 40], "material": "PLA", "color": "black"},
    "limits": {"max_duration_s": 14400, "max_hotend_c": 230},
    "policy": {"auto_start": True, "erase": False},
    "sent": NOW,
}
SIGNED: dict[str, Any] = {"kid": "desk-2026", "sig": "A" * 86 + "==", "payload": "eyJ2IjoxfQ=="}
COMMAND: dict[str, Any] = {
    "v": 1,
    "cmd_id": "c-58131",
    "command": "pause",
    "args": {},
    "expires": NOW + 10_000,
    "if_state": ["printing"],
    "if_job": "order-1042.3",
    "sent": NOW,
}
ACK: dict[str, Any] = {"v": 1, "epoch": EPOCH, "upto": 4711, "sent": NOW}
WANT: dict[str, Any] = {"v": 1, "jobs": [{"job_id": "order-1042.3", "rev": 1}], "sent": NOW}
BATCH: dict[str, Any] = {
    "v": 1,
    "unit": UNIT,
    "first": 4711,
    "records": [
        {
            "v": 1,
            "epoch": EPOCH,
            "seq": 4711,
            "type": "job",
            "job": "order-1042.3",
            "rev": 1,
            "print": "p-k1bp9nq5",
            "state": "completed",
            "detail": "",
            "t": NOW,
            "mono": 14715922,
            "boot": "1595184d-5263-466c-9516-b658e8a6439d",
            "clk": "sync",
            "data": {"event": "completed"},
        },
        {
            "v": 1,
            "epoch": EPOCH,
            "seq": 4712,
            "type": "bed",
            "state": "occupied",
            "detail": "print p-k1bp9nq5 started",
            "t": NOW,
            "mono": 14715930,
            "boot": "1595184d-5263-466c-9516-b658e8a6439d",
            "clk": "sync",
            "data": {},
        },
    ],
}
ANSWER: dict[str, Any] = {
    "v": 1,
    "unit": UNIT,
    "kind": "command",
    "status": "failed",
    "cmd_id": "c-58131",
    "code": "precondition",
    "detail": "the printer is idle, not printing",
    "t": NOW,
}
PRESENCE: dict[str, Any] = {
    "v": 1,
    "unit": UNIT,
    "state": "online",
    "epoch": EPOCH,
    "connect": 1000001,
    "since": NOW,
    "reason": "",
    "clk": "sync",
}
DESCRIPTION: dict[str, Any] = {
    "v": 1,
    "unit": UNIT,
    "name": "Workshop MK3S",
    "version": "0.1.0",
    "t": NOW,
    "clk": "sync",
    "epoch": EPOCH,
    "connect": 1000001,
    "printer": {
        "state": "printing",
        "profile": "prusa-mk3s",
        "title": "Prusa MK3S",
        "volume_mm": [250.0, 210.0, 210.0],
        "nozzle_mm": 0.4,
        "extruders": 1,
        "heaters": {"T0": {"actual": 214.9, "target": 215.0, "max_c": 290.0}},
    },
    "materials": [{"slot": "T0", "material": "PLA", "color": "black", "left_g": 612.0}],
    "formats": ["gcode"],
    "commands": ["cancel", "hold", "pause", "release", "resume", "stop", "watch"],
    "limits": {"max_jobs": 1000, "max_artefact_bytes": 536870912},
    "bed": "occupied",
    "job": {"job_id": "order-1042.3", "rev": 1, "state": "printing", "fraction": 0.42, "remaining_s": 5400},
    "queue": {"length": 3, "counts": {"printing": 1, "ready": 2}, "free_in_s": 16200, "room": 997},
    "accept": {
        "now": "auto",
        "week": dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "a" * 24),
    },
    "record": {"completed": 128, "failed": 3, "cancelled": 5, "hours": 611.5},
    "outbox": {"events": 0, "telemetry": 1, "omitted": 0},
}
LIVE: dict[str, Any] = {
    "v": 1,
    "unit": UNIT,
    "t": NOW,
    "mono": 14715930,
    "state": "printing",
    "temperatures": {"T0": {"actual": 214.9, "target": 215.0}, "B": {"actual": 60.1, "target": 60.0}},
    "job": "order-1042.3",
    "print": "p-k1bp9nq5",
    "fraction": 0.42,
    "layer": 57,
    "z_mm": 11.4,
    "remaining_s": 5400,
}
