"""One daemon and one printer for a measurement, and what the kernel says about their cost."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from agent.control.client import ControlClient
from agent.domain.errors import FabunitError
from benchmarks.board import cache_dir

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
HERE = Path(__file__).resolve().parent


class BenchUnit:
    """A daemon in a temporary folder, connected to `port`."""

    def __init__(
        self,
        port: str,
        profile: str = "generic-220",
        *,
        window: tuple[int, int] | None = None,
        launcher: tuple[str, ...] = (),
        profile_text: str = "",
        config_text: str = "",
    ) -> None:
        """`launcher`: a module and its options that runs the daemon's command line instead of `agent`.

        `profile_text`: the profile's file where it is none of the bundled ones; `config_text`: further tables.
        """
        self._launcher = launcher or ("agent",)
        self.folder = Path(tempfile.mkdtemp(prefix="fabunit-bench-"))
        self.client = ControlClient(self.folder / "sock")
        self.start_s = 0.0
        if window is not None:
            profile = self._profile_with(profile, window)
        if profile_text:
            self._add_profile(profile, profile_text)
        (self.folder / "config.toml").write_text(
            f'[unit]\nid = "bench"\nstate_dir = "{self.folder}/state"\n'
            f'[printer]\nport = "{port}"\nprofile = "{profile}"\n[limits]\nmin_free_bytes = 0\n{config_text}'
        )
        self.process = self._start()
        try:
            self.until(lambda: self.client.get("/v1/status") is not None)
            self.start_s = time.monotonic() - self._began
            self.until(lambda: self.state() == "idle")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _profile_with(self, name: str, window: tuple[int, int]) -> str:
        """A copy of a profile whose board takes a wide window."""
        text = (HERE.parent / "slicer_profiles" / "printers" / f"{name}.toml").read_text()
        head, mark, rest = text.partition("[connection]\n")
        added = f"{mark}window_lines = {window[0]}\nwindow_bytes = {window[1]}\n"
        return self._add_profile("bench", head + added + rest)

    def _add_profile(self, name: str, text: str) -> str:
        folder = self.folder / "config" / "profiles" / "printers"
        folder.mkdir(parents=True)
        (folder / f"{name}.toml").write_text(text)
        return name

    def _start(self) -> subprocess.Popen[bytes]:
        self._began = time.monotonic()
        command = [sys.executable, "-m", *self._launcher, "run", "--config", str(self.folder / "config.toml")]
        command += ["--socket", str(self.folder / "sock")]
        environ = {**os.environ, "CONFIGURATION_DIRECTORY": str(self.folder / "config")}
        # pip compiles what it installs; a checkout is compiled by its first start, into a folder of the benchmarks'.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        environ["PYTHONPYCACHEPREFIX"] = str(cache_dir() / "bytecode")
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)

    def kill(self) -> None:
        """SIGKILL the daemon."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start a daemon on the same state, as a supervisor would; returns at once."""
        self.process = self._start()

    def state_or_none(self) -> str | None:
        """The printer's state, None while no daemon answers."""
        with contextlib.suppress(FabunitError):
            return self.state()
        return None

    def state(self) -> str:
        """The printer's state."""
        return str(self.client.get("/v1/status")["printer"]["state"])

    def until(self, condition: Any, limit_s: float = 600.0, *, every_s: float = 0.02) -> None:
        """Poll a condition. Raises TimeoutError with the end of the log, at once when the daemon has ended."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            with contextlib.suppress(FabunitError):
                if condition():
                    return
            if self.process.poll() is not None:
                break
            time.sleep(every_s)
        raise TimeoutError((self.folder / "log").read_text()[-2000:])

    def print_file(self, path: Path, **options: Any) -> dict[str, Any]:
        """Queue a file, with `material` and `quality` for a mesh, and wait for its end; the job document."""
        with path.open("rb") as file:
            job = self.client.upload("/v1/jobs", file, path.stat().st_size, name=path.name, **options)
        return self.wait_for_end(job["job_id"])

    def wait_for_end(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job and clear the bed; the job document."""
        ended = ("completed", "failed", "cancelled", "rejected")
        self.until(lambda: self.client.get(f"/v1/jobs/{job_id}")["state"] in ended, every_s=0.5)
        self.client.post("/v1/bed/clear")
        return dict(self.client.get(f"/v1/jobs/{job_id}"))

    def cpu_s(self) -> float:
        """User and system seconds of the daemon so far, without its children."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory now and at its highest, in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        values = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
        return int(values["VmRSS"]) / 1024, int(values["VmHWM"]) / 1024

    def written_bytes(self) -> int:
        """Bytes the daemon has caused to be written to disk."""
        lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


class EchoProcess:
    """`echo_printer.py` as a process."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, str(HERE / "echo_printer.py"), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self.port = self._out.readline().strip()

    def end(self) -> dict[str, Any]:
        """Stop it; its statistics."""
        self._process.send_signal(signal.SIGTERM)
        statistics: dict[str, Any] = json.loads(self._out.read().splitlines()[-1])
        self._process.wait()
        return statistics


def moves_file(folder: Path, moves: int) -> Path:
    """A spiral of short moves, 38 bytes a line on the wire like a slicer's."""
    path = folder / f"spiral-{moves}.gcode"
    with path.open("w") as file:
        file.write("G21\nG90\nM83\nG28\n")
        for index in range(moves):
            angle, radius = index * 0.005, 20 + (index % 4000) * 0.01
            x, y = 110 + radius * math.cos(angle), 110 + radius * math.sin(angle)
            file.write(f"G1 X{x:.3f} Y{y:.3f} F{3000 + index % 7}\n")
        file.write("M84\n")
    return path
