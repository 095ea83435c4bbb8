"""The documents OctoPrint's REST API answers with, as far as slicers read them. Pure.

Source: docs.octoprint.org, REST API (version, job, printer, connection, settings, files), and what PrusaSlicer 2.9,
OrcaSlicer 2.3 and Cura's OctoPrint plug-in 3.7 take from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agent import __version__
from agent.domain.printer import PrinterState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.domain.job import Job
    from agent.domain.printer import PrinterSnapshot

# Slicers refuse a host whose `text` does not begin with this word.
VERSION = {"api": "0.1", "server": __version__, "text": f"OctoPrint upload API of fabunit {__version__}"}
LOGIN = {
    "name": "fabunit",
    "active": True,
    "admin": False,
    "user": True,
    "groups": ["users"],
    "permissions": [],
}
_TEXT = {
    PrinterState.OFFLINE: "Offline",
    PrinterState.CONNECTING: "Connecting",
    PrinterState.IDLE: "Operational",
    PrinterState.PRINTING: "Printing",
    PrinterState.PAUSING: "Pausing",
    PrinterState.PAUSED: "Paused",
    PrinterState.RESUMING: "Printing",
    PrinterState.CANCELLING: "Cancelling",
    PrinterState.ATTENTION: "Paused",
    PrinterState.HALTED: "Error",
}
_AWAY = frozenset({PrinterState.OFFLINE, PrinterState.CONNECTING})
_BUSY = frozenset({PrinterState.PRINTING, PrinterState.RESUMING})


def is_away(seen: PrinterSnapshot) -> bool:
    """Tell whether OctoPrint would answer 409: no printer to speak of."""
    return seen.state in _AWAY


def printer(seen: PrinterSnapshot) -> dict[str, Any]:
    """Write `GET /api/printer`."""
    state = seen.state
    return {
        "temperature": {
            _heater(name): {"actual": heater.actual, "target": heater.target, "offset": 0}
            for name, heater in seen.temperatures.items()
        },
        "sd": {"ready": False},
        "state": {
            "text": _TEXT[state],
            "error": seen.detail if state is PrinterState.HALTED else "",
            "flags": {
                "operational": state not in _AWAY and state is not PrinterState.HALTED,
                "printing": state in _BUSY,
                "paused": state in (PrinterState.PAUSED, PrinterState.ATTENTION),
                "pausing": state is PrinterState.PAUSING,
                "resuming": state is PrinterState.RESUMING,
                "cancelling": state is PrinterState.CANCELLING,
                "finishing": False,
                "ready": state is PrinterState.IDLE,
                "error": state is PrinterState.HALTED,
                "closedOrError": state in _AWAY or state is PrinterState.HALTED,
                "sdReady": False,
            },
        },
    }


def job(running: Job | None, seen: PrinterSnapshot) -> dict[str, Any]:
    """Write `GET /api/job`."""
    progress = seen.progress
    return {
        "job": {
            "file": _file(running),
            "estimatedPrintTime": running.estimate_s if running else None,
            "averagePrintTime": None,
            "lastPrintTime": None,
            "filament": {"tool0": {"length": running.filament_mm, "volume": None}}
            if running and running.filament_mm
            else None,
            "user": None,
        },
        "progress": {
            "completion": round(progress.fraction * 100, 2) if progress else None,
            "filepos": progress.byte if progress else None,
            "printTime": round(progress.elapsed_s) if progress else None,
            "printTimeLeft": round(progress.remaining_s)
            if progress and progress.remaining_s is not None
            else None,
            "printTimeLeftOrigin": "analysis" if progress else None,
        },
        "state": _TEXT[seen.state],
    }


def connection(seen: PrinterSnapshot) -> dict[str, Any]:
    """Write `GET /api/connection`."""
    current = {
        "state": _TEXT[seen.state],
        "port": seen.port or None,
        "baudrate": seen.baud or None,
        "printerProfile": "_default",
    }
    options = {
        "ports": [seen.port] if seen.port else [],
        "baudrates": [seen.baud] if seen.baud else [],
        "printerProfiles": [{"id": "_default", "name": "Default"}],
        "portPreference": None,
        "baudratePreference": None,
        "printerProfilePreference": "_default",
        "autoconnect": True,
    }
    return {"current": current, "options": options}


def settings(name: str) -> dict[str, Any]:
    """Write `GET /api/settings`: nothing that could be set from outside, no camera, no SD card."""
    return {
        "appearance": {"name": name, "color": "default"},
        "api": {"allowCrossOrigin": False},
        "feature": {"sdSupport": False, "temperatureGraph": True},
        "webcam": {"webcamEnabled": False, "streamUrl": "", "snapshotUrl": "", "streamRatio": "16:9"},
        "plugins": {},
    }


def profiles(name: str) -> dict[str, Any]:
    """Write `GET /api/printerprofiles`."""
    axes = {
        axis: {"inverted": False, "speed": speed}
        for axis, speed in (("x", 6000), ("y", 6000), ("z", 200), ("e", 300))
    }
    profile = {"id": "_default", "name": name, "model": name, "current": True, "default": True, "axes": axes}
    return {"profiles": {"_default": profile}}


def files(jobs: Sequence[Job]) -> dict[str, Any]:
    """Write `GET /api/files`: the files of jobs that are not over."""
    return {"files": [entry(found) for found in jobs], "free": None, "total": None}


def entry(found: Job) -> dict[str, Any]:
    """Write one file."""
    resource = f"/api/files/local/{quote(found.name, safe='')}"
    return {
        **_file(found),
        "type": "machinecode",
        "typePath": ["machinecode", "gcode"],
        "hash": found.artefact_sha256,
        "refs": {"resource": resource},
        "fabunit": {"job_id": found.job_id, "state": str(found.state), "detail": found.detail},
    }


def uploaded(found: Job, *, is_print: bool) -> dict[str, Any]:
    """Write the answer to an upload. `effectivePrint`: it takes its turn in the queue."""
    return {
        "files": {"local": entry(found)},
        "done": True,
        "effectiveSelect": is_print,
        "effectivePrint": is_print,
    }


def _file(found: Job | None) -> dict[str, Any]:
    if found is None:
        return {"name": None, "display": None, "path": None, "origin": None, "size": None, "date": None}
    return {
        "name": found.name,
        "display": found.name,
        "path": found.name,
        "origin": "local",
        "size": found.artefact_size,
        "date": found.created_ms // 1000,
    }


def _heater(name: str) -> str:
    return {"B": "bed", "C": "chamber"}.get(name, f"tool{name[1:] or '0'}")
