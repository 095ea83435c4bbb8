"""A mesh becomes a print: checked, sliced, judged, printed; through kills, refusals, questions and cancellations."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import NoDaemonError
from agent.slicing.engines import find_engines
from tests.integration.cli_runner import fabunit
from tests.integration.rig import Rig, commands, spiral
from tests.unit.mesh import shapes
from tests.unit.slicing.solids import box, save

INSTALLED = [found.name for _, found in asyncio.run(find_engines()) if found.is_supported]
NONE = [pytest.param("none", marks=pytest.mark.skip("no slicer is installed here"))]
engines = pytest.mark.parametrize("engine", INSTALLED or NONE)
pytestmark = pytest.mark.skipif(not INSTALLED, reason="no slicer is installed here")
WORK = "mesh-*"
KILL_LIMIT_S = 2.0
"""For the kernel to end what hung on a killed daemon, on a crowded machine."""


def configure(rig: Rig, *, engine: str = "auto", **check: str) -> None:
    rig.configure()
    lines = [f"[slicing]\nengine = {json.dumps(engine)}", "[check]"]
    lines += [f"{verdict} = {json.dumps(action)}" for verdict, action in check.items()]
    rig.config.write_text(rig.config.read_text() + "\n".join(lines) + "\n")


def submit(rig: Rig, data: bytes, name: str = "part.stl") -> str:
    return rig.submit(data, name)


def plate(rig: Rig) -> bytes:
    return save(rig.folder / "plate.stl", box(20, 20, 3)).read_bytes()


def heavy() -> bytes:
    """Seconds of work for the check, and seconds more for any slicer: 50,000 triangles that need no supports."""
    mesh = shapes.box(60, 60, 30)
    for _ in range(6):
        mesh = shapes.subdivided(mesh)
    return shapes.stl(mesh)


def until_job(rig: Rig, job_id: str, *states: str, limit_s: float = 120.0) -> dict[str, Any]:
    def reached() -> bool:
        try:
            return rig.job(job_id)["state"] in states
        except NoDaemonError:
            return False

    try:
        rig.until(reached, f"job {job_id} is {states}", limit_s)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{rig.job(job_id)}") from error
    return rig.job(job_id)


def events(rig: Rig, job_id: str) -> list[dict[str, Any]]:
    found = rig.client.get("/v1/events", after=0)["events"]
    return [event for event in found if event["job_id"] == job_id and event["type"] == "job"]


def children(pid: int) -> list[int]:
    """The processes below one, at any depth."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def niceness(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def bench_is_clear(rig: Rig) -> bool:
    return not list((rig.state / "work").iterdir())


def test_a_material_or_quality_nobody_knows_is_told_at_once(rig: Rig) -> None:
    configure(rig)
    rig.start_daemon()
    plate(rig)
    part = str(rig.folder / "plate.stl")
    said = fabunit("print", part, "--material", "unobtainium", socket=rig.socket)
    assert said.code == 5
    assert "no material 'unobtainium'" in said.err
    assert "known: abs" in said.err
    said = fabunit("print", part, "--quality", "drafty", socket=rig.socket)
    assert said.code == 5
    assert "no quality 'drafty', did you mean 'draft'?" in said.err
    assert rig.client.get("/v1/jobs")["jobs"] == []


@engines
def test_a_mesh_is_printed_from_file_to_receipt(rig: Rig, engine: str) -> None:
    """As a maker does it, without any network."""
    configure(rig, engine=engine)
    rig.start_printer(speed=2000)
    rig.start_daemon()
    part = rig.folder / "part.stl"
    part.write_bytes(plate(rig))
    options = ("--material", "pla", "--quality", "draft", "--wait", "--json")
    said = fabunit("print", str(part), *options, socket=rig.socket)
    assert said.code == 0, said
    job = json.loads(said.out)["jobs"][0]
    assert job["state"] == "completed"
    told = events(rig, job["job_id"])
    states = [event["state"] for event in told]
    assert states == ["received", "checking", "slicing", "verifying", "ready", "printing", "completed"]
    by_state = {event["state"]: event["data"] for event in told}
    assert by_state["slicing"]["check"]["verdict"] == "printable"
    assert by_state["verifying"]["slice"]["engine"] == engine
    assert all(len(json.dumps(event["data"])) < 1000 for event in told)
    prepared = (rig.state / "prepared" / f"{job['prepared_sha256']}.gcode").read_text()
    assert rig.executed() == commands(prepared)

    shown = fabunit("job", "show", job["job_id"], socket=rig.socket).out
    digest = by_state["verifying"]["slice"]["setup_digest"]
    for words in ("printable", "generic-220, pla, draft", digest, engine, "checks/"):
        assert words in shown
    print_id = rig.client.get("/v1/prints")["prints"][0]["print_id"]
    proof = rig.client.get(f"/v1/prints/{print_id}/receipt")["receipt"]
    assert proof["slice"]["setup_digest"] == digest
    assert proof["slice"]["check_verdict"] == "printable"
    assert bench_is_clear(rig)
    assert rig.daemon is not None
    mapped = Path(f"/proc/{rig.daemon.pid}/maps").read_text()
    assert "numpy" not in mapped, "all of it was done in child processes"


def test_the_same_order_again_is_neither_checked_nor_sliced_twice(rig: Rig) -> None:
    configure(rig)
    rig.start_daemon()
    first = until_job(rig, submit(rig, plate(rig)), "ready")
    began = time.monotonic()
    second = until_job(rig, submit(rig, plate(rig)), "ready")
    assert second["prepared_sha256"] == first["prepared_sha256"]
    assert time.monotonic() - began < 10
    assert [event["state"] for event in events(rig, second["job_id"])][1:4] == [
        "checking",
        "slicing",
        "verifying",
    ]
    assert len(list((rig.state / "slices").glob("*.gcode"))) == 1


def test_a_bad_mesh_is_rejected_with_the_reason_and_the_place(rig: Rig) -> None:
    configure(rig)
    rig.start_daemon()
    rig_mesh = save(rig.folder / "open.stl", box(20, 20, 20)[:11]).read_bytes()
    job = until_job(rig, submit(rig, rig_mesh), "rejected")
    assert (job["state"], job["reason"]) == ("rejected", "not_printable")
    assert "mesh.open_edges" in job["detail"]
    assert "repair" in job["detail"], "it says what helps"
    found = events(rig, job["job_id"])[-1]["data"]["check"]
    assert found["verdict"] == "not_printable"
    assert found["counts"]["error"] >= 1
    report = json.loads(Path(rig.job(job["job_id"])["mesh"]["check"]["report"]).read_text())
    assert report["verdict"] == "not_printable"
    assert report["findings"][0]["places"]
    assert bench_is_clear(rig)


def test_a_question_holds_the_job_until_somebody_answers(rig: Rig) -> None:
    configure(rig)
    rig.start_daemon()
    points, faces = shapes.box(20, 20, 5)
    inch = shapes.stl((points / 25.4, faces))
    job_id = submit(rig, inch)
    job = until_job(rig, job_id, "held")
    assert (job["reason"], job["held_from"]) == ("check_undetermined", "checking")
    assert "inch" in job["detail"]
    rig.kill_daemon()
    rig.start_daemon()
    assert rig.job(job_id)["state"] == "held"
    said = fabunit("job", "release", job_id, socket=rig.socket)
    assert said.code == 0
    assert until_job(rig, job_id, "ready")["mesh"]["slice"]["check_verdict"] == "undetermined"
    box_mm = rig.job(job_id)["layers"]
    assert box_mm == pytest.approx(25, abs=3), "what was asked was answered: inches"


def test_the_maker_decides_what_a_verdict_does(rig: Rig) -> None:
    configure(rig, printable="hold", not_printable="print")
    rig.start_daemon()
    held = until_job(rig, submit(rig, plate(rig)), "held")
    assert held["reason"] == "approval"
    # The check is overruled; what the slicer makes of it is judged all the same.
    opened = save(rig.folder / "open.stl", box(20, 20, 20)[:11]).read_bytes()
    refused = until_job(rig, submit(rig, opened), "rejected")
    assert (refused["reason"], refused["mesh"]["check"]["verdict"]) == ("slice_refused", "not_printable")


@pytest.mark.parametrize("state", [pytest.param("checking", marks=pytest.mark.slow), "slicing"])
def test_a_kill_in_the_middle_costs_only_the_step(rig: Rig, state: str) -> None:
    configure(rig)
    rig.start_daemon()
    job_id = submit(rig, heavy())
    until_job(rig, job_id, state)
    assert rig.daemon is not None
    daemon = rig.daemon.pid
    rig.until(lambda: bool(children(daemon)), "a worker runs")
    workers = children(daemon)
    rig.kill_daemon()
    rig.until(lambda: not any(is_alive(pid) for pid in workers), "nothing outlives the daemon", KILL_LIMIT_S)
    assert not bench_is_clear(rig), "the kill came in the middle"
    rig.start_daemon()
    until_job(rig, job_id, "ready")
    states = [event["state"] for event in events(rig, job_id)]
    assert states == ["received", "checking", "slicing", "verifying", "ready"]
    assert bench_is_clear(rig)


@pytest.mark.parametrize("state", ["checking", "slicing"])
def test_cancelling_takes_a_second_and_leaves_nothing(rig: Rig, state: str) -> None:
    configure(rig)
    rig.start_daemon()
    job_id = submit(rig, heavy())
    until_job(rig, job_id, state)
    assert rig.daemon is not None
    daemon = rig.daemon.pid
    rig.until(lambda: bool(children(daemon)), "a worker runs")
    # The launcher lowers itself before it becomes the slicer.
    rig.until(lambda: all(niceness(pid) == 15 for pid in children(daemon)), "the worker yields to a print")
    assert fabunit("job", "cancel", job_id, socket=rig.socket).code == 0
    began = time.monotonic()
    rig.until(lambda: not children(daemon) and bench_is_clear(rig), "all work has ended")
    assert time.monotonic() - began < 1.0
    assert rig.job(job_id)["state"] == "cancelled"
    assert not list((rig.state / "slices").iterdir())
    # The next job is not held up by what was cancelled.
    assert until_job(rig, submit(rig, plate(rig)), "ready")


@pytest.mark.slow
def test_a_mesh_is_prepared_beside_a_running_print(rig: Rig) -> None:
    """One heavy worker at a time, and the job that prints does not notice."""
    configure(rig)
    rig.start_printer(speed=20)
    rig.start_daemon()
    running = rig.submit(spiral(6000))
    rig.until_executed(100)
    first, second = submit(rig, heavy(), "a.stl"), submit(rig, plate(rig), "b.stl")
    seen: set[tuple[str, str]] = set()

    def both_ready() -> bool:
        states = {job["job_id"]: job["state"] for job in rig.client.get("/v1/jobs")["jobs"]}  # of one moment
        seen.add((states[first], states[second]))
        return bool(states[first] == states[second] == "ready")

    rig.until(both_ready, "both meshes are ready", 120)
    busy = {"checking", "slicing", "verifying"}
    assert not {pair for pair in seen if set(pair) <= busy}, "one heavy worker at a time"
    assert rig.job(running)["state"] in ("printing", "completed")
    assert rig.job(first)["state"] == "ready"


def test_gcode_waits_for_nobodys_slice_and_both_outlive_a_kill(rig: Rig) -> None:
    configure(rig)
    rig.start_daemon()
    mesh = submit(rig, heavy())
    until_job(rig, mesh, "checking", "slicing")
    first = submit(rig, spiral(400).encode(), "a.gcode")
    until_job(rig, first, "ready")
    assert rig.job(mesh)["state"] in ("checking", "slicing"), "the file was not behind the mesh"
    second = submit(rig, spiral(60_000).encode(), "b.gcode")
    until_job(rig, second, "verifying", "ready")
    rig.kill_daemon()
    rig.start_daemon()
    for job_id in (first, second, mesh):
        until_job(rig, job_id, "ready")
    assert bench_is_clear(rig)
    assert not list((rig.state / "prepared").glob(".preparing*"))
