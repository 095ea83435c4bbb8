"""What units say, as bytes."""

from __future__ import annotations

import json
from typing import Any

from agent.coordinator.standin.protocol import Arrived

UNIT = "unit-7f3a"
EPOCH = "e1"


def record(seq: int, *, epoch: str = EPOCH, **other: Any) -> dict[str, Any]:
    values = {
        "v": 1,
        "epoch": epoch,
        "seq": seq,
        "type": "unit",
        "t": 1000 + seq,
        "mono": seq,
        "boot": "b",
        "clk": "sync",
    }
    return {**values, **other}


def batch(*records: dict[str, Any], first: int | None = 1, unit: str = UNIT) -> dict[str, Any]:
    return {"v": 1, "unit": unit, "records": list(records), **({} if first is None else {"first": first})}


def presence(state: str = "online", connect: int = 1, epoch: str = EPOCH, unit: str = UNIT) -> dict[str, Any]:
    return {"v": 1, "unit": unit, "state": state, "epoch": epoch, "connect": connect, "since": 5}


def answer(kind: str, status: str, unit: str = UNIT, **other: Any) -> dict[str, Any]:
    return {"v": 1, "unit": unit, "kind": kind, "status": status, "t": 1, **other}


def message(tail: str, document: Any, unit: str = UNIT) -> Arrived:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Arrived(f"fabunit/v1/{unit}/{tail}", payload, "application/json")
