"""The demo's link: whatever fails there, the part is printed from the local queue, once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli import demo_link
from agent.cli.demo_link import DemoLink, LinkVerdict, link_lines
from agent.coordinator.standin import broker
from agent.domain.errors import NotFoundError

needs_broker = pytest.mark.skipif(broker.find_program() is None, reason="no MQTT broker is installed")


class Unit:
    """A unit whose job stands in `state`; None: it never heard of it."""

    def __init__(self, state: str | None, waiting: int = 0) -> None:
        self.state = state
        self.waiting = waiting
        self.posted: list[str] = []

    def get(self, path: str) -> dict[str, Any]:
        if path == "/v1/status":
            return {"link": {"events_waiting": self.waiting}}
        if self.state is None:
            raise NotFoundError("no such job")
        return {"state": self.state}

    def post(self, path: str) -> dict[str, Any]:
        self.posted.append(path)
        return {}


class Programs:
    """Starts the stand-in, or something else in its place."""

    def __init__(self, folder: Path, instead: list[str] | None = None) -> None:
        self.folder = folder
        self.instead = instead
        self.started: list[subprocess.Popen[str]] = []

    def spawn(self, arguments: list[str], log: str) -> subprocess.Popen[str]:
        command = self.instead or [sys.executable, "-m", "agent", *arguments]
        with (self.folder / log).open("wb") as file:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
        self.started.append(process)
        return process


@pytest.fixture
def part(tmp_path: Path) -> Path:
    made = tmp_path / "part.gcode"
    made.write_text("G28\n")
    return made


class Demos:
    """Makes links that are ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[DemoLink] = []

    def start(self, programs: Programs | None = None) -> DemoLink:
        link = DemoLink(self.folder, (programs or Programs(self.folder)).spawn)
        self.made.append(link)
        link.start()
        return link


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[Demos]:
    made = Demos(tmp_path)
    yield made
    for link in made.made:
        link.end()


def test_without_a_broker_the_demo_says_so_and_goes_on(
    tmp_path: Path, part: Path, demos: Demos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "find_program", lambda: None)
    programs = Programs(tmp_path)
    link = demos.start(programs)
    assert link.section() == ""
    assert link.order(part, Unit("ready")) is None
    verdict = link.finish(Unit(None))
    assert "mosquitto" in verdict.note
    assert (verdict.broker, verdict.pushed, verdict.has_lost) == ("", False, False)
    assert programs.started == []
    assert "mosquitto" in link_lines(verdict)[0]
    assert "local queue" in link.title


@needs_broker
def test_an_order_that_arrives_is_pushed(part: Path, demos: Demos) -> None:
    link = demos.start()
    assert "require_signature = true" in link.section()
    job_id = link.order(part, Unit("verifying"))
    assert job_id is not None
    verdict = link.finish(Unit("completed"))
    assert (verdict.pushed, verdict.continuous, verdict.undelivered, verdict.note) == (True, True, 0, "")


@needs_broker
@pytest.mark.parametrize("state", ["fetching", None])
def test_an_order_that_gets_stuck_is_withdrawn(
    part: Path, demos: Demos, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    monkeypatch.setattr(demo_link, "ARRIVAL_LIMIT_S", 0.2)
    programs = Programs(demos.folder)
    link = demos.start(programs)
    unit = Unit(state)
    assert link.order(part, unit) is None
    assert len(unit.posted) == 1
    assert "local queue" in link.note
    assert programs.started[0].poll() is not None, "what is stuck must not arrive later"
    assert link.finish(unit).pushed is False


@needs_broker
def test_a_coordinator_that_does_not_start_is_told(part: Path, demos: Demos) -> None:
    link = demos.start(Programs(demos.folder, [sys.executable, "-c", ""]))
    assert link.order(part, Unit("ready")) is None
    assert "did not start" in link.note
    assert link_lines(link.finish(Unit(None)))[-1].strip() == link.note


@needs_broker
def test_records_that_stay_in_the_outbox_are_counted(demos: Demos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_link, "DRAIN_LIMIT_S", 0.1)
    link = demos.start()
    verdict = link.finish(Unit("completed", waiting=3))
    assert verdict.undelivered == 3
    assert "outbox" in verdict.note


def test_a_gap_is_shown() -> None:
    verdict = LinkVerdict("mosquitto", pushed=True, records=9, continuous=False)
    assert verdict.has_lost
    assert any("GAPS" in line for line in link_lines(verdict))
