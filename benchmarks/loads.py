"""Other work while the daemon prints: inside its process and beside it."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.control.client import ControlClient
from agent.domain.errors import FabunitError

BIG_FILE_BYTES = 60_000_000
MESH_NAME = "torus.stl"
MESH_TRIANGLES = 1_000_000
SPIN = "while True: pass"
SMALL_JOB = b"G21\nG90\nG28\nG1 X10 Y10 F3000\n"
STATUS_PAUSE_S = 0.005
"""Two hundred status requests a second: forty open web pages."""

CHECKED_IN = ("received", "fetching", "verifying")
CHECK_POLL_S = 0.1

Work = Callable[[ControlClient, Path, threading.Event], None]


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of other work. `inside`: options of `loaded_daemon.py`; `round`: repeated in a thread until the end.

    `round` gets the daemon's client, the big file, and the event that ends it. `processes`: busy ones beside it.
    """

    name: str
    inside: tuple[str, ...] = ()
    round: Work | None = None
    pause_s: float = 0.0
    processes: int = 0

    def launcher(self, folder: Path) -> tuple[str, ...]:
        """What runs the daemon's command line; empty for the daemon as it is."""
        if not self.inside:
            return ()
        return ("benchmarks.loaded_daemon", "--folder", str(folder), *self.inside, "--")

    @contextlib.contextmanager
    def running(self, client: ControlClient, big_file: Path) -> Iterator[None]:
        """Do the work until the context is left."""
        busy = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(self.processes)]
        over = threading.Event()
        worker = threading.Thread(target=self._repeat, args=(client, big_file, over))
        worker.start()
        try:
            yield
        finally:
            over.set()
            for process in busy:
                process.kill()
                process.wait()
            worker.join()

    def _repeat(self, client: ControlClient, big_file: Path, over: threading.Event) -> None:
        while self.round is not None and not over.is_set():
            with contextlib.suppress(FabunitError):  # a refusal (queue full) is work too
                self.round(client, big_file, over)
            over.wait(self.pause_s)


def add_and_cancel(client: ControlClient, _big_file: Path, _over: threading.Event) -> None:
    """A held job in and out: a few synced transactions of the daemon's own database."""
    size = len(SMALL_JOB)
    job = client.upload("/v1/jobs", io.BytesIO(SMALL_JOB), size, name="small.gcode", hold=1)
    client.post(f"/v1/jobs/{job['job_id']}/cancel")


def upload(client: ControlClient, big_file: Path, _over: threading.Event) -> None:
    """A big file in, hashed and synced, then cancelled while it is being checked."""
    with big_file.open("rb") as file:
        job = client.upload("/v1/jobs", file, big_file.stat().st_size, name=big_file.name)
    client.post(f"/v1/jobs/{job['job_id']}/cancel")


def check(client: ControlClient, big_file: Path, over: threading.Event) -> None:
    """A big file in, and its check to the end: the daemon's own worker process at full speed."""
    with big_file.open("rb") as file:
        job = client.upload("/v1/jobs", file, big_file.stat().st_size, name=big_file.name)
    while client.get(f"/v1/jobs/{job['job_id']}")["state"] in CHECKED_IN:
        if over.wait(CHECK_POLL_S):
            break
    client.post(f"/v1/jobs/{job['job_id']}/cancel")


def check_mesh(client: ControlClient, big_file: Path, over: threading.Event) -> None:
    """A mesh of a million triangles in, and its check to the end: the daemon's own worker at full speed."""
    mesh = big_file.with_name(MESH_NAME)
    with mesh.open("rb") as file:
        job = client.upload("/v1/jobs", file, mesh.stat().st_size, name=mesh.name)
    while client.get(f"/v1/jobs/{job['job_id']}")["state"] in ("received", "checking"):
        if over.wait(CHECK_POLL_S):
            break
    client.post(f"/v1/jobs/{job['job_id']}/cancel")


def ask_status(client: ControlClient, _big_file: Path, _over: threading.Event) -> None:
    """One status document."""
    client.get("/v1/status")


LOADS = (
    Load("nothing else"),
    Load("garbage collections in the daemon, every 50 ms", inside=("--garbage-ms", "50")),
    Load("synced SQLite commits in the daemon, every 2 ms", inside=("--commits-ms", "2")),
    Load("100 kB of JSON both ways in the daemon, every 20 ms", inside=("--json-ms", "20")),
    Load("jobs added and cancelled, without pause", round=add_and_cancel),
    Load("200 status requests a second", round=ask_status, pause_s=STATUS_PAUSE_S),
    Load("uploads of 60 MB, without pause", round=upload),
    Load("a 60 MB file being checked by the worker", round=check),
    Load("a mesh of 1 M triangles being checked", round=check_mesh),
    Load("two busy processes beside it", processes=2),
)


def big_file(folder: Path) -> Path:
    """A file of plain moves, BIG_FILE_BYTES long."""
    path = folder / "big.gcode"
    block = b"".join(
        b"G1 X%d.%03d Y%d.100 F3000\n" % (n % 100 + 50, n % 1000, n % 90 + 60) for n in range(40_000)
    )
    with path.open("wb") as file:
        file.write(b"G21\nG90\nM83\nG28\n")
        while file.tell() < BIG_FILE_BYTES:
            file.write(block)
    return path


def mesh_file(folder: Path) -> Path:
    """A closed mesh of MESH_TRIANGLES, written by another process: it needs memory of its own."""
    path = folder / MESH_NAME
    command = [sys.executable, "-m", "benchmarks.bench_mesh", "--make", str(path), str(MESH_TRIANGLES)]
    subprocess.run(command, check=True)
    return path
