from __future__ import annotations

import importlib.util
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.coordinator.documents import Command
from agent.coordinator.standin import following, orders, pushing, units
from agent.coordinator.standin.broker import LocalBroker, Program, find_mosquitto
from agent.coordinator.standin.broker_link import parse_broker
from agent.coordinator.standin.ledger import Ledger
from agent.coordinator.standin.pushing import Wishes
from agent.coordinator.standin.records import continuity
from agent.coordinator.standin.server import CoordinatorServer, ServePlan
from agent.domain.errors import FabunitError
from tests.unit.standin.said import UNIT
from tests.unit.standin.small_unit import SmallUnit

needs_broker = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

# Generous: a killed client's paho waits a second, and the machine may be busy.
LIMIT_S = 30.0
_SERVE = """
import sys
from pathlib import Path
from agent.coordinator.standin.broker_link import parse_broker
from agent.coordinator.standin.server import CoordinatorServer, ServePlan
from agent.log import LogPlan, configure_logging
configure_logging(LogPlan())
CoordinatorServer(ServePlan(Path(sys.argv[1]), parse_broker(sys.argv[2]))).run(lambda: print("ready", flush=True))
"""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    with LocalBroker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def serving(broker: LocalBroker, tmp_path: Path) -> Iterator[CoordinatorServer]:
    """A coordinator in a thread of this process."""
    made: list[CoordinatorServer] = []
    is_ready = threading.Event()

    def run() -> None:
        # SQLite's connection belongs to the thread that made it.
        made.append(CoordinatorServer(ServePlan(tmp_path / "c.db", parse_broker(broker.url))))
        made[0].run(is_ready.set)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert is_ready.wait(LIMIT_S)
    yield made[0]
    made[0].stop()
    thread.join(LIMIT_S)


@pytest.fixture
def unit(broker: LocalBroker) -> Iterator[SmallUnit]:
    unit = SmallUnit(broker.port)
    yield unit
    unit.close()


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """The same file from another connection, as the commands use it."""
    opened: list[Ledger] = []

    def open_it() -> Ledger:
        if not opened:
            opened.append(Ledger(tmp_path / "c.db"))
        return opened[0]

    yield open_it
    for ledger in opened:
        ledger.close()


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def is_above(unit: SmallUnit, acked: int) -> bool:
    return unit.acked > acked


class Process:
    """The coordinator as a process of its own, to be killed."""

    def __init__(self, db: Path, url: str) -> None:
        self._command = [sys.executable, "-c", _SERVE, str(db), url]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait(LIMIT_S)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def process(broker: LocalBroker, tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "c.db", broker.url)
    process.start()
    yield process
    process.end(signal.SIGKILL)


@needs_broker
def test_a_job_a_command_and_their_answers(
    serving: CoordinatorServer, unit: SmallUnit, beside: Callable[[], Ledger], tmp_path: Path
) -> None:
    ledger = beside()
    until(lambda: units.get(ledger.reading, UNIT) is not None, "the unit's birth")
    part = tmp_path / "part.gcode"
    part.write_bytes(b"G28\n")
    (pushed,) = pushing.push(ledger, [part], [UNIT], Wishes(), time.time_ns() // 1_000_000)
    (order,) = following.wait_orders(ledger, [pushed.job_id], LIMIT_S)
    assert order.state == "completed"
    until(lambda: bool(unit.wants) and unit.wants[-1]["jobs"] == [], "an empty want after the job's end")
    assert len(unit.jobs) == 1

    expires = time.time_ns() // 1_000_000 + 20_000
    command = Command(v=1, cmd_id="k1", command="pause", unit=UNIT, expires=expires)
    pushing.order_command(ledger, command, UNIT, is_signed=False)
    status, told = following.wait_command(ledger, "k1", LIMIT_S)
    assert status == "done"
    assert told is not None
    assert told["cmd_id"] == "k1"
    until(lambda: unit.acked == 2, "both records acknowledged")
    assert [seen.record["state"] for seen in following.seen_after(ledger, 0)] == ["received", "completed"]


@needs_broker
def test_what_was_ordered_while_nobody_served_arrives(
    unit: SmallUnit, beside: Callable[[], Ledger], tmp_path: Path, process: Process
) -> None:
    process.end(signal.SIGTERM)
    ledger = beside()
    part = tmp_path / "part.gcode"
    part.write_bytes(b"G28\n")
    pushing.push(ledger, [part], [UNIT], Wishes(is_inline=True), time.time_ns() // 1_000_000)
    assert unit.jobs == []
    process.start()
    until(lambda: len(unit.jobs) == 1, "the job")


@needs_broker
def test_kills_of_coordinator_and_broker_lose_and_double_nothing(
    broker: LocalBroker, unit: SmallUnit, beside: Callable[[], Ledger], tmp_path: Path, process: Process
) -> None:
    rng = random.Random(11)
    pushed = 0
    part = tmp_path / "part.gcode"
    part.write_bytes(b"G28\n")
    for number in range(6):
        for _ in range(60):
            unit.report(detail=f"round {number}")
        pushing.push(beside(), [part], [UNIT], Wishes(is_inline=True), time.time_ns() // 1_000_000)
        pushed += 1
        until(partial(is_above, unit, unit.acked), "progress")
        time.sleep(rng.uniform(0.0, 0.05))  # anywhere in the middle of it
        if number % 3 == 2:
            broker.kill()
            broker.start()
        else:
            process.end(signal.SIGKILL)
            process.start()
    total = 6 * 60 + 2 * pushed
    until(lambda: len(unit.jobs) == pushed, "all jobs")
    until(lambda: unit.acked == total, "all acknowledged")
    (found,) = continuity(beside().reading)
    assert found.is_sound
    assert (found.upto, found.received) == (total, total)
    assert all(order.state == "completed" for order in orders.jobs(beside().reading))
    assert len({job["job_id"] for job in unit.jobs}) == pushed


@needs_broker
def test_urls_of_files_survive_a_restart(broker: LocalBroker, tmp_path: Path) -> None:
    plan = ServePlan(tmp_path / "c.db", parse_broker(broker.url))
    urls = set()
    for _ in range(2):
        server = CoordinatorServer(plan)
        urls.add(server.files_url)
        server.stop()
        server.run()
    assert len(urls) == 1


@pytest.mark.skipif(importlib.util.find_spec("iotcore") is None, reason="iotcore is an extra")
def test_the_embedded_broker_carries_a_job_too(tmp_path: Path) -> None:
    with LocalBroker(program=Program.IOTCORE) as broker:
        process = Process(tmp_path / "c.db", broker.url)
        process.start()
        unit = SmallUnit(broker.port)
        ledger = Ledger(tmp_path / "c.db")
        try:
            part = tmp_path / "part.gcode"
            part.write_bytes(b"G28\n")
            (pushed,) = pushing.push(
                ledger, [part], [UNIT], Wishes(is_inline=True), time.time_ns() // 1_000_000
            )
            assert following.wait_orders(ledger, [pushed.job_id], LIMIT_S)[0].state == "completed"
            until(lambda: unit.acked == 2, "both records acknowledged")
        finally:
            unit.close()
            process.end(signal.SIGTERM)
            ledger.close()
        folder = broker.folder
    assert not folder.exists()


def test_without_a_broker_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.coordinator.standin.broker.find_program", lambda: None)
    with pytest.raises(FabunitError) as caught:
        LocalBroker()
    assert caught.value.code == "no_broker"
    assert "apt install" in caught.value.remedy


@needs_broker
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux is not installed")
def test_a_killed_program_leaves_no_broker_behind(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from agent.coordinator.standin.broker import LocalBroker; "
    script += "broker = LocalBroker(Path(sys.argv[1])); broker.start(); print(broker.pid, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script, str(tmp_path / "broker")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    until(lambda: not is_running(pid), "the broker's end")


@needs_broker
def test_a_broker_that_cannot_start_says_why(tmp_path: Path, broker: LocalBroker) -> None:
    second = LocalBroker(tmp_path / "second", broker.port)
    with pytest.raises(FabunitError, match="in use"):
        second.start()
    assert second.pid is None


def test_two_processes_share_one_file(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "c.db"), Ledger(tmp_path / "c.db")
    version = one.foreign_version()
    with other.transaction() as connection:
        units.met(connection, UNIT, 0)
    assert one.foreign_version() != version
    assert units.get(one.reading, UNIT) is not None
    one.close()
    other.close()


def test_a_second_connection_leaves_the_locks_of_the_first_alone(tmp_path: Path) -> None:
    one = Ledger(tmp_path / "c.db")
    with one.transaction() as connection:
        units.met(connection, UNIT, 0)
    Ledger(tmp_path / "c.db").close()
    script = "import sys; from pathlib import Path; from agent.coordinator.standin.ledger import Ledger; "
    script += "Ledger(Path(sys.argv[1])).close()"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "c.db")], check=True)
    # The last one to close removes the WAL: with the first one's locks gone the other process would.
    assert (tmp_path / "c.db-wal").exists()
    one.close()
    assert not (tmp_path / "c.db-wal").exists()


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(b"this is no database, but precious")
    with pytest.raises(FabunitError):
        Ledger(path)
    assert path.read_bytes() == b"this is no database, but precious"
