"""A maker's session through the real command line, and the demo as a newcomer runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_runner import Said, fabunit
from tests.integration.rig import Rig, commands, environment, spiral

DEMO_KEYS = {"lines_in_file", "lines_executed", "exact", "resends", "starved_ms", "duration_s"}


@pytest.fixture
def unit(rig: Rig) -> Rig:
    """A unit whose queue waits for a person, at its printer."""
    rig.config.write_text(rig.config.read_text() + "[queue]\nauto_start = false\n")
    rig.start_printer(speed=30)
    rig.start_daemon()
    rig.until_state("idle")
    return rig


class Shell:
    """Commands against one unit."""

    def __init__(self, rig: Rig) -> None:
        self._socket = rig.socket

    def __call__(self, *arguments: str, code: int = 0, text: str | None = None) -> str:
        """Run for a person; returns what both streams say."""
        said = fabunit(*arguments, socket=self._socket, text=text)
        assert said.code == code, said
        assert said.out if code == 0 else said.err.startswith(("error: ", "Usage: "))
        return said.out + said.err

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run for a program: one document on stdout, nothing on stderr."""
        said: Said = fabunit(*arguments, "--json", socket=self._socket)
        assert (said.code, said.err) == (code, ""), said
        return said.document()


@pytest.mark.timeout(180)  # some forty processes, one after the other
def test_a_makers_evening(unit: Rig, tmp_path: Path) -> None:
    shell = Shell(unit)
    part = tmp_path / "bracket.gcode"
    part.write_text(spiral(1500))
    job_id = queueing(shell, unit, part)
    print_and_pause(shell, unit, job_id)
    assert unit.until_ended(job_id)["state"] == "completed"
    assert unit.executed() == commands(part.read_text())
    afterwards(shell, job_id)
    at_the_printer(shell, unit)


def queueing(shell: Shell, unit: Rig, part: Path) -> str:
    """Add, look, sort, hold; nothing starts by itself. Returns the job to print."""
    first, second = (job["job_id"] for job in shell.json("print", str(part), str(part))["jobs"])
    unit.until(lambda: unit.job(second)["state"] == "ready", "both jobs are checked")
    assert "fabunit job start ID" in shell("status")
    assert shell.json("job", "move", second, "--first")["job_id"] == second
    assert [job["job_id"] for job in shell.json("jobs")["jobs"]] == [second, first]
    assert "held" in shell("job", "hold", first)
    assert shell.json("job", "release", first)["state"] == "ready"
    assert "cancelled" in shell("job", "cancel", first)
    assert "bracket.gcode" in shell("job", "show", second)
    shell("job", "start", first, code=4)
    assert unit.executed() == []
    return str(second)


def print_and_pause(shell: Shell, unit: Rig, job_id: str) -> None:
    """Start by hand, pause, look, resume."""
    assert shell.json("job", "start", job_id[:5])["job_id"] == job_id
    unit.until_executed(300)
    assert "printer paus" in shell("pause")
    unit.until_state("paused")
    assert "already paused" in shell("pause", code=4)
    assert shell.json("status")["job"]["job_id"] == job_id
    assert "T:" in shell("console", "M105")
    assert "printer " in shell("resume")


def afterwards(shell: Shell, job_id: str) -> None:
    """The record of the print, and the bed."""
    assert shell.json("status")["bed"] == "occupied"
    entry = shell.json("history")["prints"][0]
    assert (entry["job_id"], entry["state"]) == (job_id, "completed")
    receipt = shell.json("receipt", entry["print_id"])["receipt"]
    assert receipt["lines_acked"] == receipt["lines"]
    assert "bracket.gcode" in shell("receipt", entry["print_id"])
    assert "completed" in shell("jobs", "--all")
    shell("job", "start", job_id, code=4)
    assert shell("bed", "clear") == "bed clear\n"
    assert shell.json("bed", "clear") == {"bed": "clear"}


def at_the_printer(shell: Shell, unit: Rig) -> None:
    """Direct control, the emergency stop and the way back."""
    assert "nozzle set to 60 °C" in shell("printer", "heat", "nozzle", "60")
    assert "limit" in shell("printer", "heat", "nozzle", "400", code=4)
    assert "X Y homed" in shell("printer", "home", "yx")
    assert "all heaters off" in shell("printer", "cool")
    assert "M104" in shell("console", text="M105\n\n; remark\nM104 S900\nM106 S255\n", code=4)
    assert "M106 S255" not in unit.host_commands()
    assert shell.json("printer", "info")["state"] == "idle"
    assert shell.json("prompt") == {"prompt": None}
    shell("answer", "0", code=5)
    assert "port closed" in shell("printer", "disconnect")
    assert "idle" in shell("printer", "connect")
    assert "halted" in shell("stop")
    shell("pause", code=4)
    unit.tell_printer("reset")
    assert shell.json("printer", "connect")["state"] == "idle"
    assert shell.json("logs", "-n", "5")["entries"]


def test_wrong_usage_says_what_would_be_right(tmp_path: Path) -> None:
    cases: list[tuple[tuple[str, ...], str]] = [
        (("statsu",), "Did you mean 'status'?"),
        (("job", "shwo", "x"), "Did you mean 'show'?"),
        (("print",), "FILE"),
        (("job", "move", "x"), "--first"),
        (("printer", "heat", "sofa", "20"), "'sofa' names no heater"),
        (("printer", "home", "Q"), "X, Y and Z"),
        (("simulate", "--dialect", "marlin-2.2", "--config", "x"), "marlin-2.1"),
    ]
    for arguments, part in cases:
        said = fabunit(*arguments, socket=tmp_path / "none")
        assert said.code == 2, said
        assert said.err.startswith("error: ")
        assert part in said.err
    error = fabunit("status", "--interval", "99", "--json").document()["error"]
    assert (error["code"], "99" in error["message"]) == ("usage", True)


def test_analyse_and_ports_need_no_daemon(tmp_path: Path) -> None:
    part = tmp_path / "hot.gcode"
    part.write_text(spiral(20).replace("M104 S205", "M104 S400"))
    said = fabunit("analyse", str(part), "--json", "--profile", "generic-220")
    assert said.code == 4
    findings = {finding["id"]: finding for finding in said.document()["findings"]}
    assert findings["temperature_over_limit"]["line"] == part.read_text().splitlines().index("M104 S400") + 1
    assert isinstance(fabunit("ports", "--json").document()["ports"], list)


def evidence(folder: Path) -> str:
    """What the ledger of an inexact demo has around its first doubled, missing or foreign line, and all its events."""
    entries = [
        json.loads(line)
        for ledger in folder.glob("*/ledger.jsonl")
        for line in ledger.read_text().splitlines()
    ]
    shown: list[object] = [entry for entry in entries if "event" in entry][-40:]
    job = [entry for entry in entries if entry.get("src") == "job"]
    for at, (one, two) in enumerate(pairwise(job)):
        if two["n"] != one["n"] + 1:
            shown += ["…", *job[max(0, at - 3) : at + 5]]
    logs = "\n".join(log.read_text()[-2000:] for log in folder.glob("*/daemon.log"))
    return "\n".join(str(entry) for entry in shown[:120]) + "\n" + logs


@pytest.mark.timeout(120)
def test_the_demo_prints_the_bundled_part_exactly(tmp_path: Path) -> None:
    said = fabunit("demo", "--json", "--speed", "200", TMPDIR=str(tmp_path))
    verdict = said.document()
    assert verdict["difference"] == "", evidence(tmp_path)
    assert said.code == 0, verdict
    assert set(verdict) >= DEMO_KEYS
    assert verdict["exact"] is True
    assert verdict["lines_in_file"] == verdict["lines_executed"] > 20_000
    assert verdict["resends"] == 0
    assert verdict["duration_s"] > 0
    link = verdict["link"]
    assert link["continuous"] is True
    assert bool(link["records"]) == bool(link["pushed"])
    assert link["pushed"] or link["note"], "a demo without a coordinator says why"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_and_no_folder(rig: Rig, number: signal.Signals) -> None:
    # Not below pytest's folder: with its long names the socket's path would not fit into 107 bytes.
    scratch = Path(tempfile.mkdtemp(prefix="fu-"))
    demo = subprocess.Popen(
        [sys.executable, "-m", "agent", "demo", "--speed", "5"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment(), "TMPDIR": str(scratch)},
    )
    rig.until(lambda: len(processes_of(scratch)) >= 2, "the demo's printer and daemon run")
    folder = next(scratch.iterdir())
    rig.until((folder / "fabunit.sock").exists, "its daemon listens")
    demo.send_signal(number)
    assert demo.wait(30) in (130, 143)
    assert processes_of(scratch) == []
    scratch.rmdir()


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in command:
            found.append(int(entry.name))
    return found


def test_status_watch_json_is_one_document_per_line(unit: Rig) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "agent", "status", "--watch", "--json", "--interval", "0.1"],
        stdout=subprocess.PIPE,
        env={**environment(), "FABUNIT_SOCKET": str(unit.socket)},
    )
    assert watch.stdout is not None
    try:
        documents = [json.loads(watch.stdout.readline()) for _ in range(3)]
    finally:
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 130
        watch.stdout.close()
    assert [document["printer"]["state"] for document in documents] == ["idle"] * 3
    assert "samples" in documents[0]
