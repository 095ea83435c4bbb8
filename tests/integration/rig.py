"""A unit on the bench: the virtual printer and the daemon as real processes in a temporary folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.control.client import ControlClient
from agent.domain.errors import NoDaemonError

LIMIT_S = 30.0
HOST_NUMBERS = 1_000_000
# The daemon as it is, with other values for some constants; one that does not exist is an error.
_IMPATIENT = """import importlib, sys
for name, value in {}.items():
    module, _, constant = name.rpartition(".")
    vars(importlib.import_module(module)).__getitem__(constant)
    setattr(sys.modules[module], constant, value)
from agent.cli.main import main
main()
"""
ENDED = ("completed", "failed", "cancelled", "rejected")


class Rig:
    """Starts, kills and restarts both sides; every wait is for a condition, with a limit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = folder / "port"
        self.ledger = folder / "ledger.jsonl"
        self.socket = folder / "sock"
        self.state = folder / "state"
        self.config = folder / "config.toml"
        self.client = ControlClient(self.socket)
        self.printer: subprocess.Popen[bytes] | None = None
        self.daemon: subprocess.Popen[bytes] | None = None
        self.environ: dict[str, str] = {}
        self.patience: dict[str, float] = {}
        """Constants of the daemon by their full names, with shorter times than people's printers are given."""
        self.configure()

    def configure(self, **printer: Any) -> None:
        """Write the configuration; keyword arguments go into `[printer]`."""
        settings = {"port": str(self.port), **printer}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        self.config.write_text(
            f'[unit]\nid = "bench-unit"\nstate_dir = {json.dumps(str(self.state))}\n'
            "[printer]\n" + "\n".join(lines) + "\n[limits]\nmin_free_bytes = 0\n"
        )

    def start_printer(self, *options: str, speed: float = 100.0) -> None:
        """Start the virtual printer and wait until its port is there."""
        command = [sys.executable, "-m", "agent.sim", "--link", str(self.port), "--speed", str(speed)]
        command += ["--ledger", str(self.ledger), "--control", str(self.folder / "ctl"), "--json", *options]
        self.printer = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self.printer.stdout is not None
        assert json.loads(self.printer.stdout.readline())["port"] == str(self.port)

    def tell_printer(self, word: str) -> str:
        """A word to the virtual printer's control socket (reset, unplug, replug, dead …) and its reply."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(LIMIT_S)
            connection.connect(str(self.folder / "ctl"))
            connection.sendall(word.encode() + b"\n")
            return connection.makefile().readline().strip()

    def start_daemon(self, *, wait: bool = True) -> None:
        """Start the daemon; with `wait` return when its control socket answers."""
        log = (self.folder / "daemon.log").open("ab")
        command = [
            sys.executable,
            *(("-c", _IMPATIENT.format(self.patience)) if self.patience else ("-m", "agent")),
            "run",
            "--config",
            str(self.config),
            "--socket",
            str(self.socket),
        ]
        self.daemon = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environ}
        )
        log.close()
        if wait:
            self.until(lambda: self.status() is not None, "the daemon answers")

    def kill_daemon(self) -> None:
        """SIGKILL, as a power cut or an OOM killer would do it."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def stop_daemon(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(LIMIT_S)

    def close(self) -> None:
        """End both by process id."""
        for process in (self.daemon, self.printer):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            if process is not None and process.stdout is not None:
                process.stdout.close()

    def status(self) -> dict[str, Any] | None:
        """The status document, None while no daemon answers."""
        try:
            return self.client.get("/v1/status")
        except NoDaemonError:
            return None

    def printer_state(self) -> str:
        status = self.status()
        return "" if status is None else str(status["printer"]["state"])

    def until_state(self, *states: str) -> None:
        self.until(
            lambda: self.printer_state() in states, f"the printer is {states}, not {self.printer_state()}"
        )

    def submit(self, gcode: str | bytes, name: str = "part.gcode") -> str:
        """Queue G-code; returns the job id."""
        data = gcode.encode() if isinstance(gcode, str) else gcode
        path = self.folder / "upload.gcode"
        path.write_bytes(data)
        with path.open("rb") as file:
            return str(self.client.upload("/v1/jobs", file, len(data), name=name)["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self.client.get(f"/v1/jobs/{job_id}")

    def until_ended(self, job_id: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Wait for the end of a job, across restarts of the daemon."""

        def ended() -> bool:
            try:
                return self.job(job_id)["state"] in ENDED
            except NoDaemonError:
                return False

        self.until(ended, f"job {job_id} has ended", limit_s)
        return self.job(job_id)

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        """Poll a condition of another process."""
        pause = threading.Event()
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if condition():
                return
            pause.wait(0.02)
        log_file = self.folder / "daemon.log"
        log = log_file.read_text(errors="replace")[-1500:] if log_file.exists() else ""
        raise AssertionError(f"not within {limit_s:.0f} s: {what}\n{log}")

    def until_executed(self, lines: int) -> None:
        """Wait until the printer has executed more than so many job lines."""
        self.until(lambda: len(self.executed()) > lines, f"{lines} lines are executed")

    def entries(self) -> Iterator[dict[str, Any]]:
        """The printer's ledger so far."""
        self.tell_printer("stats")
        for line in self.ledger.read_text().splitlines():
            if line.endswith("}"):
                yield json.loads(line)

    def commands(self) -> list[dict[str, Any]]:
        """The ledger's entries that are commands, not events."""
        return [entry for entry in self.entries() if "cmd" in entry]

    def executed(self) -> list[str]:
        """Commands the printer executed under a job's line numbers."""
        return [e["cmd"] for e in self.commands() if e["src"] == "job" and e["n"] < HOST_NUMBERS]

    def host_commands(self) -> list[str]:
        """Commands of the host itself."""
        return [e["cmd"] for e in self.commands() if e["src"] == "host" or e["n"] >= HOST_NUMBERS]


def commands(gcode: str) -> list[str]:
    """What a printer must execute of a file."""
    stripped = (line.split(";", 1)[0].strip() for line in gcode.splitlines())
    return [line for line in stripped if line]


def spiral(moves: int, *, heat: bool = True, seed: int = 0) -> str:
    """A plain print: home, heat, many short moves, heaters off."""
    import math

    lines = ["; made for the tests", "G21", "G90", "M83"]
    if heat:
        lines += ["M140 S60", "M104 S205", "G28", "M190 S60", "M109 S205"]
    else:
        lines += ["G28"]
    lines += ["G92 E0", ";LAYER_CHANGE", ";Z:0.2", "G1 Z0.2 F3000"]
    for index in range(moves):
        angle = (index + seed) * 0.1
        radius = 20 + 10 * math.sin(index / 700)
        extrusion = "" if not heat else f" E{0.01 + (index % 7) / 1000:.3f}"
        lines.append(
            f"G1 X{110 + radius * math.cos(angle):.3f} Y{110 + radius * math.sin(angle):.3f}{extrusion} F3000"
        )
    return "\n".join([*lines, "M104 S0", "M140 S0", "M107", "M84", ""])


def environment() -> dict[str, str]:
    """The test's environment without settings of another daemon."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FABUNIT")}
