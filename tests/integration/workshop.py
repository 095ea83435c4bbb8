"""A coordinator for tests with real processes: broker, stand-in and its file, and a unit that takes its orders."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from agent.coordinator.documents import command_from
from agent.coordinator.signatures import public_key, trusted_line
from agent.coordinator.standin import following, orders, pushing, units
from agent.coordinator.standin.broker import LocalBroker
from agent.coordinator.standin.ledger import Ledger
from agent.coordinator.standin.pushing import Wishes
from agent.coordinator.standin.records import continuity
from tests.integration.rig import Rig

UNIT = "bench-unit"
LIMIT_S = 90.0
_SERVE = """
import sys
from pathlib import Path
from agent.coordinator.standin.broker_link import parse_broker
from agent.coordinator.standin.server import CoordinatorServer, ServePlan
from agent.log import LogPlan, configure_logging
configure_logging(LogPlan())
CoordinatorServer(ServePlan(Path(sys.argv[1]), parse_broker(sys.argv[2]))).run(lambda: print("ready", flush=True))
"""


class Workshop:
    """Broker, coordinator and its file; the coordinator is a process to be killed."""

    def __init__(self, folder: Path, broker: LocalBroker) -> None:
        self.broker = broker
        self._db = folder / "coordinator.db"
        self._log = folder / "coordinator.log"
        self._process: subprocess.Popen[str] | None = None
        self.start()
        self.ledger = Ledger(self._db)

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-c", _SERVE, str(self._db), self.broker.url]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            process.send_signal(number)
            process.wait(LIMIT_S)
            process.stdout.close()

    def close(self) -> None:
        self.end()
        self.ledger.close()

    def join(self, rig: Rig) -> None:
        """Write the unit's `[coordinator]` section."""
        key = trusted_line(pushing.key_id(self.ledger), public_key(pushing.signing_key(self.ledger)))
        with rig.config.open("a") as config:
            config.write(
                f'[coordinator]\nurl = "{self.broker.url}"\nallowed_hosts = ["127.0.0.1"]\n'
                f'require_signature = true\ntrusted_keys = [{json.dumps(key)}]\nallow = ["bed_clear"]\n'
                "trust_clock = true\n"
            )

    def push(self, path: Path, wishes: Wishes | None = None) -> str:
        wishes = wishes or Wishes(is_signed=True)
        (pushed,) = pushing.push(self.ledger, [path], [UNIT], wishes, _now_ms())
        return pushed.job_id

    def command(self, name: str) -> str:
        """Give a signed command; returns how it ended."""
        now_ms = _now_ms()
        told = {
            "v": 1,
            "cmd_id": f"k{now_ms}",
            "command": name,
            "unit": UNIT,
            "expires": now_ms + 30_000,
            "sent": now_ms,
        }
        command = command_from(told)
        pushing.order_command(self.ledger, command, UNIT, is_signed=True)
        return following.wait_command(self.ledger, command.cmd_id, LIMIT_S)[0]

    def state(self, job_id: str) -> str | None:
        return orders.jobs(self.ledger.reading, job_id=job_id)[0].state


def ready(rig: Rig, workshop: Workshop, speed: float = 100.0) -> None:
    """Start a unit that this coordinator may order from, and wait until it knows the unit and its key."""
    workshop.join(rig)
    rig.start_printer(speed=speed)
    rig.start_daemon()

    def is_known() -> bool:
        known = units.get(workshop.ledger.reading, UNIT)
        return bool(known and known.presence == "online" and known.state and known.state.get("public_key"))

    rig.until(is_known, "the unit is online and its key is known", LIMIT_S)


def completed(rig: Rig, workshop: Workshop, job_id: str) -> None:
    rig.until(lambda: workshop.state(job_id) == "completed", f"{job_id} is completed", LIMIT_S)


def all_arrived(rig: Rig, workshop: Workshop) -> None:
    """Wait until the unit's newest event is at the coordinator, then demand that nothing is lost or doubled."""
    newest = max(event["seq"] for event in rig.client.get("/v1/events")["events"])

    def has_arrived() -> bool:
        return any(item.upto >= newest for item in continuity(workshop.ledger.reading, UNIT))

    rig.until(has_arrived, f"record {newest} arrives", LIMIT_S)
    assert all(item.is_sound for item in continuity(workshop.ledger.reading, UNIT))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
