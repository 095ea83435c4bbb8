"""The queue of a real daemon, killed with SIGKILL at random instants while a person works with it."""

from __future__ import annotations

import contextlib
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.control.client import ControlClient
from agent.domain.errors import FabunitError
from tests.integration.rig import Rig, spiral

SEED = 20
WAITING = {"received", "verifying", "ready", "held"}


@dataclass
class Told:
    """What the daemon has acknowledged, by job id: the last state that was promised, None while unsure."""

    promised: dict[str, str | None] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    unsure_names: set[str] = field(default_factory=set)


class Worker:
    """Adds, holds, releases, moves and cancels jobs as fast as the daemon answers, until told to stop."""

    def __init__(self, client: ControlClient, part: Path, rng: random.Random, told: Told) -> None:
        self._client, self._part, self._rng, self._told = client, part, rng, told
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.busy = threading.Event()
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _work(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(FabunitError):
                self._one()
                self.busy.set()

    def _one(self) -> None:
        told, rng = self._told, self._rng
        live = [job for job, state in told.promised.items() if state in ("waiting", "held")]
        if len(live) < 8 or rng.random() < 0.3:
            self._add()
            return
        job = rng.choice(live)
        action = rng.choice(["hold", "release", "cancel", "move"])
        if action == "move":
            self._client.post(f"/v1/jobs/{job}/move", {"to": rng.choice(["first", "last"])})
            return
        before, told.promised[job] = told.promised[job], None
        try:
            self._client.post(f"/v1/jobs/{job}/{action}")
        except FabunitError as error:
            if error.code == "wrong_state":
                told.promised[job] = before
            raise
        told.promised[job] = {"hold": "held", "release": "waiting", "cancel": "cancelled"}[action]

    def _add(self) -> None:
        name = f"part-{self._rng.randrange(10**12)}.gcode"
        self._told.unsure_names.add(name)
        with self._part.open("rb") as file:
            document = self._client.upload("/v1/jobs", file, self._part.stat().st_size, name=name)
        self._told.unsure_names.discard(name)
        self._told.promised[document["job_id"]] = "waiting"
        self._told.names[document["job_id"]] = name


@pytest.mark.parametrize("kills", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_kills_lose_nothing_and_double_nothing(rig: Rig, kills: int) -> None:
    rig.configure(port=str(rig.folder / "no-printer"))
    part = rig.folder / "part.gcode"
    part.write_text(spiral(20))
    rng = random.Random(SEED)
    told = Told()
    for _ in range(kills):
        rig.start_daemon()
        check(rig, told)
        worker = Worker(ControlClient(rig.socket), part, rng, told)
        assert worker.busy.wait(20)
        threading.Event().wait(rng.uniform(0.0, 0.4))  # the random instant itself
        rig.kill_daemon()
        worker.end()
    rig.start_daemon()
    check(rig, told)
    assert len(told.promised) > kills


def check(rig: Rig, told: Told) -> None:
    """Every acknowledged job is there once, in the state that was promised; nothing else is."""
    jobs = rig.client.get("/v1/jobs", all=1)["jobs"]
    by_id = {job["job_id"]: job for job in jobs}
    names = [job["name"] for job in jobs]
    assert len(names) == len(set(names)), "a job was doubled"
    for job_id, name in told.names.items():
        assert by_id[job_id]["name"] == name
    for job in jobs:
        if job["job_id"] not in told.promised:
            assert job["name"] in told.unsure_names, "a job nobody ordered"
            told.promised[job["job_id"]] = None
    for job_id, promised in told.promised.items():
        state = by_id[job_id]["state"]
        if promised == "cancelled":
            assert state == "cancelled"
        elif promised == "held":
            assert state == "held"
        elif promised == "waiting":
            assert state in WAITING - {"held"}
        else:
            assert state in {*WAITING, "cancelled"}
            told.promised[job_id] = (
                "cancelled" if state == "cancelled" else "held" if state == "held" else "waiting"
            )
    positions = [job["position"] for job in jobs if job["state"] in WAITING]
    assert len(positions) == len(set(positions))
    parts = list((rig.state / "artefacts").rglob("*.part"))
    assert not parts, "an upload that never finished was left over"
