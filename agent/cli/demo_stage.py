"""The demo's stage: a folder with a virtual printer, a broker, a coordinator and a daemon, always cleaned up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from agent import paths
from agent.cli.demo_link import UNIT, DemoLink, LinkVerdict
from agent.control.client import ControlClient
from agent.domain.errors import FabunitError, NoDaemonError

START_LIMIT_S = 30.0
"""For the daemon to import, open its state and find the printer; a slow board needs a few seconds."""
END_LIMIT_S = 10.0
POLL_S = 0.05


class DemoError(FabunitError):
    """A part of the demo did not start or ended early; the message has its last words."""

    code = "demo_failed"


class DemoStage:
    """Owns printer, daemon and link, and their folder."""

    def __init__(self, speed: float, *, keep: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fabunit-demo-"))
        self.part = paths.demo_part()
        self.ledger = self.folder / "ledger.jsonl"
        self._statistics = self.folder / "printer.json"
        self.is_kept = keep
        self._speed = speed
        self._printer: subprocess.Popen[str] | None = None
        self._daemon: subprocess.Popen[str] | None = None
        self.client = ControlClient(self.folder / "fabunit.sock")
        self._link = DemoLink(self.folder, self._start_standin)

    def __enter__(self) -> Self:
        try:
            self._link.start()
            self._printer = self._start_printer()
            self._daemon = self._start_daemon()
            self._wait_for_daemon()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(
                number, signal.SIG_IGN
            )  # an impatient second Ctrl-C must not leave half of it behind
        self.end()
        if not self.is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def company(self) -> str:
        """Who is there besides printer and daemon, in words."""
        return self._link.title

    def keep(self) -> None:
        """Leave the files where they are at the end."""
        self.is_kept = True

    def submit(self) -> str:
        """Have the coordinator order the bundled part, else queue it; returns the job's id."""
        ordered = self._link.order(self.part, self.client)
        if ordered is not None:
            return ordered
        with self.part.open("rb") as file:
            size = self.part.stat().st_size
            document = self.client.upload("/v1/jobs", file, size, name=self.part.name)
        return str(document["job_id"])

    def receipt(self, job_id: str) -> dict[str, Any]:
        """The receipt of the job's print; empty when there is none."""
        prints = [p for p in self.client.get("/v1/prints")["prints"] if p["job_id"] == job_id]
        if not prints or not prints[0].get("has_receipt"):
            return {}
        receipt: dict[str, Any] = self.client.get(f"/v1/prints/{prints[0]['print_id']}/receipt")["receipt"]
        return receipt

    def link(self) -> LinkVerdict:
        """What the coordinator has heard, once the outbox is empty. Raises nothing about the link."""
        return self._link.finish(self.client)

    def end(self) -> None:
        """Stop the daemon, the printer, then the link, in order. Idempotent."""
        for process in (self._daemon, self._printer):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END_LIMIT_S)
                if process.poll() is None:
                    process.kill()
                    process.wait()
        self._link.end()

    def summary(self) -> dict[str, Any]:
        """What the virtual printer measured, once it has ended."""
        try:
            document: dict[str, Any] = json.loads(self._statistics.read_text())
        except (OSError, ValueError) as error:
            msg = f"the virtual printer left no summary: {error}"
            raise DemoError(msg) from error
        return document

    def _start_printer(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "agent.sim", "--link", str(self.folder / "printer")]
        command += [
            "--speed",
            str(self._speed),
            "--ledger",
            str(self.ledger),
            "--stats",
            str(self._statistics),
        ]
        process = self._spawn(command, "printer.log", stdout=subprocess.PIPE)
        if process.stdout is None or not process.stdout.readline().strip():
            raise self._dead("the virtual printer", "printer.log")
        return process

    def _start_standin(self, arguments: list[str], log: str) -> subprocess.Popen[str]:
        return self._spawn([sys.executable, "-m", "agent", *arguments], log, stdout=subprocess.PIPE)

    def _start_daemon(self) -> subprocess.Popen[str]:
        config = self.folder / "config.toml"
        state = self.folder / "state"
        config.write_text(
            f'[unit]\nid = "{UNIT}"\nname = "Demo unit"\nstate_dir = {json.dumps(str(state))}\n\n'
            f'[printer]\nport = {json.dumps(str(self.folder / "printer"))}\nprofile = "generic-220"\n\n'
            "[limits]\nmin_free_bytes = 0\n" + self._link.section()
        )
        command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
        command += ["--socket", str(self.folder / "fabunit.sock")]
        return self._spawn(command, "daemon.log")

    def _spawn(self, command: list[str], log: str, stdout: int | None = None) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FABUNIT")}
        with (self.folder / log).open("wb") as file:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and modules, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=file if stdout is None else stdout,
                stderr=file,
                env=environ,
                text=True,
                start_new_session=True,  # Ctrl-C is for the demo, which ends both in order
            )

    def _wait_for_daemon(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self._daemon is None or self._daemon.poll() is not None:
                raise self._dead("the daemon", "daemon.log")
            with contextlib.suppress(NoDaemonError):
                if self.client.get("/v1/status")["printer"]["state"] == "idle":
                    return
            time.sleep(POLL_S)
        raise self._dead("the daemon", "daemon.log")

    def lost(self) -> DemoError:
        """Why nobody answers in the middle of the demo, in the daemon's last words."""
        return self._dead("the daemon", "daemon.log", "ended early")

    def _dead(self, who: str, log: str, what: str = "did not start") -> DemoError:
        with contextlib.suppress(OSError):
            words = (self.folder / log).read_text(errors="replace").strip().splitlines()[-3:]
            return DemoError(f"{who} {what}: {' / '.join(words) or 'it said nothing'}")
        return DemoError(f"{who} {what}")
