"""The demo's other side: a broker, a coordinator beside it, and what that coordinator has heard in the end.

A side feature here as everywhere: whatever fails leaves a sentence in `note`, and the demo prints from the local queue.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.coordinator.standin.broker import LocalBroker
from agent.domain.errors import FabunitError, NoDaemonError, NotFoundError

UNIT = "demo"
START_LIMIT_S = 20.0
"""For the stand-in to import and reach its broker."""
ARRIVAL_LIMIT_S = 20.0
"""For an order to be on the unit's disk: a second usually; a machine that is busy with other things gets more."""
DRAIN_LIMIT_S = 15.0
"""For the last records to be acknowledged."""
END_LIMIT_S = 5.0
_POLL_S = 0.05

Spawn = Callable[[list[str], str], subprocess.Popen[str]]
"""Starts `python -m agent` with arguments and a log file's name; its standard output is a pipe."""


class UnitApi(Protocol):
    """What is asked of the unit; see `agent.control.client.ControlClient`."""

    def get(self, path: str) -> dict[str, Any]:
        """Read one document."""
        ...

    def post(self, path: str) -> dict[str, Any]:
        """Ask for an action."""
        ...


@dataclass(frozen=True, slots=True)
class LinkVerdict:
    """What went over the link: `records` at the coordinator, each once; `repeated` came again and were recognised.

    `continuous`: nothing is missing between the first and the last of any epoch. `undelivered` are records that the
    coordinator had not acknowledged at the end. `broker` is empty and `note` says why where there was no link.
    """

    broker: str = ""
    pushed: bool = False
    records: int = 0
    continuous: bool = True
    repeated: int = 0
    undelivered: int = 0
    note: str = ""

    @property
    def has_lost(self) -> bool:
        """The coordinator has holes or contradictions: that must never be."""
        return not self.continuous


class DemoLink:
    """Owns broker and stand-in; `note` says what went wrong. No method raises anything about the link."""

    def __init__(self, folder: Path, spawn: Spawn) -> None:
        self.note = ""
        self._folder = folder
        self._spawn = spawn
        self._broker: LocalBroker | None = None
        self._program = ""
        self._standin: subprocess.Popen[str] | None = None
        self._key = ""
        self._is_pushed = False

    @property
    def _db(self) -> Path:
        return self._folder / "coordinator.db"

    @property
    def title(self) -> str:
        """What is there, in words."""
        return f"coordinator (over {self._program})" if self._standin else f"local queue ({self.note})"

    def start(self) -> None:
        """Start the broker and, without waiting for it, the stand-in."""
        try:
            from agent.coordinator.signatures import public_key, trusted_line
            from agent.coordinator.standin.ledger import Ledger
            from agent.coordinator.standin.pushing import key_id, signing_key

            self._broker = LocalBroker(self._folder / "broker")
            self._broker.start()
            self._program = self._broker.program.value
            with contextlib.closing(Ledger(self._db)) as ledger:
                self._key = trusted_line(key_id(ledger), public_key(signing_key(ledger)))
            arguments = [
                "coordinator",
                "serve",
                "--json",
                "--db",
                str(self._db),
                "--broker",
                self._broker.url,
            ]
            self._standin = self._spawn(arguments, "coordinator.log")
        except (FabunitError, OSError, ImportError) as error:
            self._give_up(f"no coordinator in this demo: {_words(error)}")

    def section(self) -> str:
        """Return the unit's `[coordinator]` section; empty without a link."""
        if self._broker is None:
            return ""
        return (
            f'\n[coordinator]\nurl = "{self._broker.url}"\nallowed_hosts = ["127.0.0.1"]\ntrust_clock = true\n'
            f"require_signature = true\ntrusted_keys = [{json.dumps(self._key)}]\n"
        )

    def order(self, part: Path, client: UnitApi) -> str | None:
        """Push the part; return the job's id once it is in the unit's queue, None when it will never get there.

        Raises NoDaemonError.
        """
        if self._standin is None or not self._is_ready():
            return None
        try:
            from agent.coordinator.standin import pushing
            from agent.coordinator.standin.ledger import Ledger

            with contextlib.closing(Ledger(self._db)) as ledger:
                wishes = pushing.Wishes(is_signed=True)
                (pushed,) = pushing.push(ledger, [part], [UNIT], wishes, time.time_ns() // 1_000_000)
        except (FabunitError, OSError) as error:
            self._give_up(f"the order could not be pushed: {_words(error)}; printing from the local queue")
            return None
        deadline_s = time.monotonic() + ARRIVAL_LIMIT_S
        while time.monotonic() < deadline_s and self._standin.poll() is None:
            if _is_fetched(client, pushed.job_id):
                self._is_pushed = True
                return pushed.job_id
            time.sleep(_POLL_S)
        return self._withdraw(pushed.job_id, client)

    def finish(self, client: UnitApi) -> LinkVerdict:
        """Wait for the outbox to be empty and return what the coordinator has."""
        if self._broker is None:
            return LinkVerdict(self._program, pushed=self._is_pushed, note=self.note)
        undelivered = self._drain(client)
        try:
            verdict = self._examine(undelivered)
        except FabunitError as error:
            self.note = f"the coordinator's file cannot be read: {_words(error)}"
            return LinkVerdict(self._program, pushed=self._is_pushed, undelivered=undelivered, note=self.note)
        return verdict

    def end(self) -> None:
        """End the stand-in, then the broker. Idempotent."""
        process, self._standin = self._standin, None
        if process is not None:
            process.terminate()
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.stop()

    def _is_ready(self) -> bool:
        """The stand-in has said that it serves."""
        process = self._standin
        pipe = None if process is None else process.stdout
        if pipe is None:
            return False
        has_spoken = bool(select.select([pipe], [], [], START_LIMIT_S)[0]) and bool(pipe.readline().strip())
        if not has_spoken:
            self._give_up("the coordinator did not start; printing from the local queue")
        return has_spoken

    def _withdraw(self, job_id: str, client: UnitApi) -> str | None:
        """Make sure that an order that got stuck is never printed: the part is about to come another way."""
        self._give_up("the order did not arrive in time; printing from the local queue")
        # Nothing arrives any more: what is here now is all there will ever be.
        if _is_fetched(client, job_id):
            return job_id
        with contextlib.suppress(NotFoundError):
            client.post(f"/v1/jobs/{job_id}/cancel")
        return None

    def _give_up(self, note: str) -> None:
        self.note = note
        self.end()

    def _drain(self, client: UnitApi) -> int:
        """Wait until the coordinator has acknowledged everything; return how many records it has not."""
        deadline_s = time.monotonic() + DRAIN_LIMIT_S
        waiting = 0
        while time.monotonic() < deadline_s:
            try:
                link = client.get("/v1/status").get("link") or {}
            except NoDaemonError:
                self.note = "the daemon ended before its records were acknowledged"
                return waiting
            waiting = int(link.get("events_waiting", 0))
            if not waiting:
                return 0
            time.sleep(_POLL_S)
        self.note = f"{waiting} records are not acknowledged: they stay in the unit's outbox"
        return waiting

    def _examine(self, undelivered: int) -> LinkVerdict:
        from agent.coordinator.standin.ledger import Ledger
        from agent.coordinator.standin.records import continuity

        with contextlib.closing(Ledger(self._db)) as ledger, ledger.transaction() as connection:
            found = continuity(connection, UNIT)
        return LinkVerdict(
            broker=self._program,
            pushed=self._is_pushed,
            records=sum(epoch.received for epoch in found),
            continuous=all(epoch.is_sound for epoch in found),
            repeated=sum(epoch.repeated for epoch in found),
            undelivered=undelivered,
            note=self.note,
        )


def link_lines(link: LinkVerdict) -> list[str]:
    """Return what the demo says of its link."""
    if not link.broker:
        return [f"  coordinator          none: {link.note}"] if link.note else []
    how = "pushed the part" if link.pushed else "did not push the part"
    lines = [f"  coordinator          {how} over {link.broker}"]
    if link.records:
        whole = "numbered without a gap" if link.continuous else "with GAPS"
        lines.append(f"  its records          {link.records}, {whole}, {link.repeated} came again")
    return [*lines, *([f"                       {link.note}"] if link.note else [])]


def _is_fetched(client: UnitApi, job_id: str) -> bool:
    """The unit has the order, and the file with it."""
    try:
        job = client.get(f"/v1/jobs/{job_id}")
    except NotFoundError:
        return False
    return job["state"] not in ("received", "fetching")


def _words(error: BaseException) -> str:
    remedy = getattr(error, "remedy", "")
    return f"{error} ({remedy})" if remedy else str(error)
