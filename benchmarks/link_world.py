"""A workshop in one folder: broker, coordinator stand-in, unit and virtual printer as real processes, to be killed.

The unit and the stand-in reach the broker through a proxy each, so that the network can fail for either.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from agent.cli.demo_verdict import commands_of, executed_of
from agent.control.client import ControlClient
from agent.coordinator.documents import command_from
from agent.coordinator.signatures import public_key, trusted_line
from agent.coordinator.standin import following, orders, pushing
from agent.coordinator.standin.broker import LocalBroker
from agent.coordinator.standin.ledger import Ledger
from agent.coordinator.standin.records import continuity
from agent.domain.errors import FabunitError
from benchmarks.board import cache_dir
from benchmarks.cutting_proxy import CuttingProxy

UNIT = "bench"
START_LIMIT_S = 30.0
_POLL_S = 0.02


class LinkWorld:
    """Everything a chaos run or a measurement of the link needs; a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        speed: float = 400.0,
        extra: str = "",
        port: str = "",
        is_linked: bool = True,
        niceness: int = 0,
    ) -> None:
        """`extra` goes into the unit's `[coordinator]` section; `port`: a printer that is there already.

        A unit that is not linked has no such section: to compare with. `niceness` of the unit; a negative one needs
        root.
        """
        self.folder = folder
        # What lies beside the socket is in memory in an installed unit (/run), so it is here.
        memory = Path("/dev/shm")
        self._run = Path(tempfile.mkdtemp(prefix="fu-run-", dir=memory if memory.is_dir() else folder))
        self.client = ControlClient(self._run / "sock")
        self.broker = LocalBroker(folder / "broker")
        self.broker.start()
        self.unit_net = CuttingProxy(self.broker.port)
        self.standin_net = CuttingProxy(self.broker.port)
        self.ledger = Ledger(folder / "coordinator.db")
        self.printer: subprocess.Popen[bytes] | None = None
        self.standin: subprocess.Popen[bytes] | None = None
        self.daemon: subprocess.Popen[bytes] | None = None
        self._speed = speed
        self._port = port
        self._niceness = niceness
        self._configure(self._section() + extra if is_linked else "")

    def __enter__(self) -> Self:
        try:
            if not self._port:
                self._start_printer()
            self.start_standin()
            self.start_daemon()
            self.until(lambda: self.status()["printer"]["state"] == "idle", "the printer is idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.daemon, self.standin, self.printer):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for proxy in (self.unit_net, self.standin_net):
            proxy.close()
        self.broker.kill()
        self.ledger.close()
        shutil.rmtree(self._run, ignore_errors=True)

    # Starting and killing

    def start_standin(self) -> None:
        """Start the coordinator; returns at once."""
        broker = f"mqtt://127.0.0.1:{self.standin_net.port}"
        arguments = ["coordinator", "serve", "--db", str(self.ledger.path), "--broker", broker]
        self.standin = self._spawn(["-m", "agent", *arguments], "coordinator.log")

    def start_daemon(self) -> None:
        """Start the unit; returns at once."""
        arguments = ["run", "--config", str(self.folder / "config.toml"), "--socket", str(self._run / "sock")]
        self.daemon = self._spawn(["-m", "agent", *arguments], "daemon.log")
        if self._niceness:
            # Its threads, which begin later, inherit it.
            os.setpriority(os.PRIO_PROCESS, self.daemon.pid, self._niceness)

    def kill_standin(self) -> None:
        """SIGKILL the coordinator."""
        _kill(self.standin)

    def kill_daemon(self) -> None:
        """SIGKILL the unit."""
        _kill(self.daemon)

    def stop_daemon(self) -> None:
        """End the unit in order."""
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(START_LIMIT_S)

    # Orders and answers

    def push(self, part: Path, *, is_inline: bool = False) -> str:
        """Order a print; returns the job's id."""
        wishes = pushing.Wishes(is_signed=True, is_inline=is_inline)
        (pushed,) = pushing.push(self.ledger, [part], [UNIT], wishes, now_ms())
        return pushed.job_id

    def command(self, name: str, limit_s: float = 30.0, **args: Any) -> tuple[str, dict[str, Any] | None]:
        """Give a signed command; returns how it ended."""
        told = {"v": 1, "cmd_id": f"k{time.time_ns()}", "command": name, "unit": UNIT, "args": args}
        command = command_from({**told, "expires": now_ms() + 30_000, "sent": now_ms()})
        pushing.order_command(self.ledger, command, UNIT, is_signed=True)
        return following.wait_command(self.ledger, command.cmd_id, limit_s)

    def order_state(self, job_id: str) -> str | None:
        """How an order stands at the coordinator."""
        return orders.jobs(self.ledger.reading, job_id=job_id)[0].state

    def status(self) -> dict[str, Any]:
        """The unit's status; raises FabunitError while it is away."""
        return self.client.get("/v1/status")

    def clear_bed(self) -> None:
        """Be the person who takes the part off, as soon as there is one."""
        with contextlib.suppress(FabunitError):
            status = self.status()
            if status["bed"] == "occupied" and status["job"] is None:
                self.client.post("/v1/bed/clear")

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = START_LIMIT_S) -> None:
        """Poll a condition; a unit that is away is asked again. Raises TimeoutError with the log's end."""
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            with contextlib.suppress(FabunitError):
                if condition():
                    return
            time.sleep(_POLL_S)
        log = (self.folder / "daemon.log").read_text(errors="replace")[-2000:]
        raise TimeoutError(f"not within {limit_s:.0f} s: {what}\n{log}")

    # What must be true in the end

    def is_drained(self) -> bool:
        """The coordinator has acknowledged every event."""
        link = self.status()["link"]
        return bool(link["state"] == "online" and link["events_waiting"] == 0)

    def records_wrong(self) -> list[str]:
        """Compare the unit's own events with what the coordinator has: lost, doubled or different ones."""
        wrong = [
            f"{item.epoch}: gaps {item.gaps}, open {item.open}, {item.conflicts} contradictions"
            for item in continuity(self.ledger.reading, UNIT)
            if not item.is_sound
        ]
        with contextlib.closing(sqlite3.connect(self.folder / "state" / "fabunit.db")) as unit:
            mine = unit.execute("SELECT seq, type, job_id, state FROM events ORDER BY seq").fetchall()
        theirs: dict[int, list[tuple[Any, ...]]] = {}
        for row in self.ledger.reading.execute(
            "SELECT seq, type, job, state FROM records WHERE unit = ? AND type != 'telemetry'", (UNIT,)
        ):
            theirs.setdefault(row["seq"], []).append((row["seq"], row["type"], row["job"], row["state"]))
        for event in mine:
            found = theirs.pop(event[0], [])
            if found != [event]:
                wrong.append(f"event {event} is {found} at the coordinator")
        return wrong + [f"the coordinator has {extra}, the unit never had" for extra in theirs.values()]

    def prints_wrong(self, parts: Sequence[Path]) -> list[str]:
        """Find every part once, whole and in one piece, in what the printer executed."""
        executed = list(executed_of(self.folder / "ledger.jsonl"))
        waiting = {tuple(commands_of(part.read_text().splitlines())): part.name for part in parts}
        at = 0
        while at < len(executed):
            found = next((c for c in waiting if tuple(executed[at : at + len(c)]) == c), None)
            if found is None:
                return [
                    f"command {at} of the printer, {executed[at]!r}, belongs to no part that was not printed yet"
                ]
            waiting.pop(found)
            at += len(found)
        return [f"{name} was not printed" for name in waiting.values()]

    # Inside

    def _section(self) -> str:
        key = trusted_line(pushing.key_id(self.ledger), public_key(pushing.signing_key(self.ledger)))
        return (
            f'[coordinator]\nurl = "mqtt://127.0.0.1:{self.unit_net.port}"\nallowed_hosts = ["127.0.0.1"]\n'
            f"require_signature = true\ntrusted_keys = [{json.dumps(key)}]\ntrust_clock = true\n"
        )

    def _configure(self, coordinator: str) -> None:
        port = self._port or str(self.folder / "port")
        (self.folder / "config.toml").write_text(
            f'[unit]\nid = "{UNIT}"\nstate_dir = {json.dumps(str(self.folder / "state"))}\n'
            f'[printer]\nport = {json.dumps(port)}\nprofile = "generic-220"\n'
            f"[limits]\nmin_free_bytes = 0\n{coordinator}"
        )

    def _start_printer(self) -> None:
        command = ["-m", "agent.sim", "--link", str(self.folder / "port"), "--speed", str(self._speed)]
        command += ["--ledger", str(self.folder / "ledger.jsonl"), "--json"]
        self.printer = self._spawn(command, "printer.log")
        self.until((self.folder / "port").exists, "the virtual printer is there")

    def _spawn(self, arguments: list[str], log: str) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FABUNIT")}
        # As pip leaves an installed program: with its bytecode.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        environ["PYTHONPYCACHEPREFIX"] = str(cache_dir() / "bytecode")
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(
                [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environ
            )


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()
