"""The real daemon and the stand-in coordinator over a real broker: orders in, prints, records out."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.coordinator.documents import command_from
from agent.coordinator.signatures import public_key, trusted_line
from agent.coordinator.standin import following, orders, pushing, units
from agent.coordinator.standin.broker import LocalBroker, find_mosquitto
from agent.coordinator.standin.ledger import Ledger
from agent.coordinator.standin.pushing import Wishes
from agent.coordinator.standin.records import continuity
from agent.slicing.programs import has_engine
from tests.integration.rig import Rig, commands, spiral
from tests.unit.slicing.solids import box, save

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

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


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    with (
        LocalBroker(tmp_path / "broker") as broker,
        contextlib.closing(Workshop(tmp_path, broker)) as workshop,
    ):
        yield workshop


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def online(rig: Rig, workshop: Workshop) -> None:
    def is_online() -> bool:
        known = units.get(workshop.ledger.reading, UNIT)
        return known is not None and known.presence == "online"

    rig.until(is_online, "the unit is online", LIMIT_S)


def completed(rig: Rig, workshop: Workshop, job_id: str) -> None:
    rig.until(lambda: workshop.state(job_id) == "completed", f"{job_id} is completed", LIMIT_S)


def all_arrived(rig: Rig, workshop: Workshop) -> None:
    """Wait until the unit's newest event is at the coordinator, then demand that nothing is lost or doubled."""
    newest = max(event["seq"] for event in rig.client.get("/v1/events")["events"])

    def has_arrived() -> bool:
        return any(item.upto >= newest for item in continuity(workshop.ledger.reading, UNIT))

    rig.until(has_arrived, f"record {newest} arrives", LIMIT_S)
    assert all(item.is_sound for item in continuity(workshop.ledger.reading, UNIT))


def test_a_signed_order_is_fetched_printed_and_reported(rig: Rig, workshop: Workshop, tmp_path: Path) -> None:
    part = tmp_path / "ordered.gcode"
    part.write_text(spiral(300))
    workshop.join(rig)
    rig.start_printer()
    rig.start_daemon()
    online(rig, workshop)
    unsigned = workshop.push(part, Wishes(is_signed=False))
    job_id = workshop.push(part)
    completed(rig, workshop, job_id)
    assert rig.executed() == commands(part.read_text())
    assert rig.job(job_id)["source"] == "coordinator"
    assert workshop.state(unsigned) in (None, orders.REFUSED)
    assert workshop.command("bed_clear") == "done"
    assert workshop.command("heat") == "failed", "its owner has not allowed it"
    all_arrived(rig, workshop)


@pytest.mark.skipif(not has_engine("auto"), reason="no slicer is installed here")
def test_an_ordered_mesh_is_fetched_checked_sliced_and_printed(
    rig: Rig, workshop: Workshop, tmp_path: Path
) -> None:
    part = save(tmp_path / "ordered.stl", box(20, 20, 2))
    workshop.join(rig)
    rig.start_printer(speed=2000)
    rig.start_daemon()
    online(rig, workshop)
    job_id = workshop.push(part, Wishes(material="PLA", quality="draft", is_signed=True))
    completed(rig, workshop, job_id)
    told = [event for event in rig.client.get("/v1/events")["events"] if event["job_id"] == job_id]
    states = [event["state"] for event in told if event["type"] == "job"]
    assert states == [
        "received", "fetching", "checking", "slicing", "verifying", "ready", "printing", "completed",
    ]  # fmt: skip
    job = rig.job(job_id)
    assert job["mesh"]["slice"]["quality"] == "draft"
    prepared = (rig.state / "prepared" / f"{job['prepared_sha256']}.gcode").read_text()
    assert rig.executed() == commands(prepared)
    all_arrived(rig, workshop)


def test_kills_on_both_sides_print_every_order_once(rig: Rig, workshop: Workshop, tmp_path: Path) -> None:
    workshop.join(rig)
    rig.start_printer()
    rig.start_daemon()
    online(rig, workshop)
    expected: list[str] = []
    for number in range(3):
        part = tmp_path / f"part-{number}.gcode"
        part.write_text(spiral(120, heat=False, seed=number * 17))
        expected += commands(part.read_text())
        job_id = workshop.push(part)
        if number % 2 == 0:
            rig.kill_daemon()
            rig.start_daemon()
        else:
            workshop.end()
            workshop.start()
        completed(rig, workshop, job_id)
        assert workshop.command("bed_clear") == "done"
    assert rig.executed() == expected
    all_arrived(rig, workshop)
