"""What Cura's OctoPrint plug-in asks for, in its order, and whether it can understand the answers.

Read from its source, OctoPrintOutputDevice.py at 67518c33 (3.7): endpoints, headers, the fields it takes without asking
whether they are there, and how it reads states.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent.domain.job import JobState
from agent.domain.printer import PrinterState
from tests.unit.web.slicer_requests import cura_upload
from tests.unit.web.web_bench import KEY, Answer, Web

AGENT = "Cura/5.9.0 OctoPrintPlugin/3.7.3 (Linux)"
# Words of `GET api/job` it knows; with another one the print is "offline" to it.
JOB_WORDS = (
    "Error",
    "Pausing",
    "Paused",
    "Printing",
    "Cancelling",
    "Operational",
    "Starting",
    "Connecting",
    "Offline",
)


def ask(web: Web, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
    """As the plug-in does: a content type on every request, also on those without content."""
    sent = json.dumps(body).encode() if body is not None else None
    return web.ask(method, f"/api/{path}", sent, User_Agent=AGENT, Content_Type="application/json")


def seen_as(flags: dict[str, bool]) -> str:
    """The state it makes of the flags, in its order of asking."""
    if flags["error"] or flags["closedOrError"]:
        return "error"
    if flags["paused"] or flags["pausing"]:
        return "paused"
    if flags["printing"]:
        return "printing"
    if flags["cancelling"]:
        return "aborted"
    return "idle" if flags["ready"] or flags["operational"] else "unknown"


def test_it_connects(web: Web) -> None:
    """The order of `connect`: a poll of both, settings, version, who the key belongs to, the printer's profile."""
    for path in ("printer", "job", "settings", "version", "printerprofiles"):
        assert ask(web, "GET", path).status == 200, path
    assert isinstance(ask(web, "GET", "version").json()["server"], str)
    assert ask(web, "POST", "login", {"passive": True}).json()["name"] == "fabunit"
    settings = ask(web, "GET", "settings").json()
    assert settings["feature"]["sdSupport"] is False
    assert settings["webcam"]["streamUrl"] == ""
    assert settings["plugins"] == {}, "no upload as UFP, no analysis to wait for, no power switch"
    (profile,) = (
        found for found in ask(web, "GET", "printerprofiles").json()["profiles"].values() if found["current"]
    )
    for axis in "xyze":
        assert profile["axes"][axis]["speed"] > 0
        assert profile["axes"][axis]["inverted"] is False


def test_its_search_for_a_key_of_its_own_finds_none(web: Web) -> None:
    """204 would mean that keys can be asked for; without one, a person types the key in."""
    probe = web.ask("GET", "/plugin/appkeys/probe", key=None, User_Agent=AGENT)
    assert probe.status != 204
    assert ask(web, "GET", "settings").status == 200


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        (PrinterState.IDLE, "idle"),
        (PrinterState.PRINTING, "printing"),
        (PrinterState.RESUMING, "printing"),
        (PrinterState.PAUSING, "paused"),
        (PrinterState.PAUSED, "paused"),
        (PrinterState.ATTENTION, "paused"),
        (PrinterState.CANCELLING, "aborted"),
        (PrinterState.HALTED, "error"),
        (PrinterState.OFFLINE, ""),
        (PrinterState.CONNECTING, ""),
    ],
)
def test_its_monitor(web: Web, state: PrinterState, meaning: str) -> None:
    web.unit.printer.view = replace(web.unit.printer.view, state=state)
    printer, job = ask(web, "GET", "printer"), ask(web, "GET", "job").json()
    assert job["state"].startswith(JOB_WORDS)
    for name in ("printTime", "completion", "printTimeLeft"):
        assert name in job["progress"]
    assert "name" in job["job"]["file"]
    if not meaning:
        assert printer.status == 409, "the printer is not operational"
        return
    document = printer.json()
    assert seen_as(document["state"]["flags"]) == meaning
    for heater in ("tool0", "bed"):
        assert set(document["temperature"][heater]) >= {"actual", "target"}


@pytest.mark.parametrize("is_print", [True, False])
def test_it_prints(web: Web, is_print: bool) -> None:
    answer = web.replay(cura_upload(web.port, KEY, b"G28\nG1 X1\n", is_print=is_print))
    assert answer.status == 201
    # It takes the file's address from the header, and what is behind /api/ for its next question.
    path = urlsplit(answer.headers["location"]).path
    end_point = path.split("/api/", 1)[1]
    assert ask(web, "GET", end_point).json()["name"] == "UM3_part.gcode"
    assert (web.unit.queue.jobs[-1].state is JobState.HELD) is not is_print
    assert ask(web, "POST", end_point, {"command": "select", "print": True}).status == 204


def test_its_buttons(web: Web) -> None:
    """Pause is sent again to go on; `connect` has nothing but the command."""
    assert ask(web, "POST", "job", {"command": "pause"}).status == 204
    assert ask(web, "POST", "job", {"command": "pause"}).status == 204
    assert web.unit.printer.calls == [("pause",), ("resume",)]
    assert ask(web, "POST", "job", {"command": "cancel"}).status == 204
    assert ask(web, "POST", "connection", {"command": "connect"}).status == 204


def test_what_it_may_not_do_is_told_in_its_window(web: Web) -> None:
    """It shows the body of plain text, its first 100 characters, and else "an unknown error"."""
    answer = ask(web, "POST", "printer/command", {"commands": ["M104 S300"]})
    assert (answer.status, answer.headers["content-type"]) == (409, "text/plain")
    assert b"not driven directly" in answer.body[:100]
    assert not web.unit.printer.calls
