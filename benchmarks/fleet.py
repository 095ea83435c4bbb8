"""A fleet on one broker: many light units with the real link and outbox, one mosquitto, the stand-in coordinator.

The broker is killed, stays away, and comes back; counted are how soon and how evenly the units come back, when all
outboxes are empty, what was lost or doubled, and a unit's memory. By hand: `python -m benchmarks.fleet --units 1000`.
State lies in memory (`/dev/shm`) where there is one: a thousand units in life have a thousand cards of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.coordinator.standin.broker import LocalBroker
from agent.coordinator.standin.ledger import Ledger

PER_PROCESS = 250
UP_LIMIT_S = 300.0
DRAIN_LIMIT_S = 400.0


@dataclass(frozen=True, slots=True)
class FleetResult:
    """What a run has seen. Seconds count from the broker's return; `peak_per_s` is the most connections in one."""

    units: int
    up_s: float
    outage_s: float
    half_back_s: float
    nearly_all_back_s: float
    all_back_s: float
    peak_per_s: int
    empty_s: float
    events: int
    records: int
    repeated: int
    wrong: int
    kib_per_unit: float
    threads_per_unit: float
    broker_kib: int


class Group:
    """One process of units; `told` is its newest report."""

    def __init__(self, folder: Path, broker: str, first: int, count: int) -> None:
        command = [
            sys.executable,
            "-m",
            "benchmarks.fleet_units",
            "--first",
            str(first),
            "--count",
            str(count),
        ]
        command += ["--broker", broker, "--folder", str(folder)]
        with (folder / f"units-{first}.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.count = count
        self.told: dict[str, Any] = {
            "online": 0,
            "waiting": 0,
            "wrote": 0,
            "online_at_s": [],
            "rss_kib": 0,
            "threads": 0,
        }
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def say(self, word: str) -> None:
        """Tell it a word."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """End it in order, or after a while at once."""
        self.say("end")
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told = json.loads(line)


class Fleet:
    """Broker, coordinator and groups of units."""

    def __init__(self, folder: Path, units: int) -> None:
        self.units = units
        self.broker = LocalBroker(folder / "broker")
        self.broker.start()
        self.db = folder / "coordinator.db"
        command = [sys.executable, "-m", "agent", "coordinator", "serve", "--db", str(self.db)]
        with (folder / "coordinator.log").open("wb") as log:
            self._standin = subprocess.Popen([*command, "--broker", self.broker.url], stdout=log, stderr=log)
        firsts = range(0, units, PER_PROCESS)
        self.groups = [
            Group(folder, self.broker.url, first, min(PER_PROCESS, units - first)) for first in firsts
        ]

    def total(self, name: str) -> int:
        """Sum one figure of all groups."""
        return sum(int(group.told[name]) for group in self.groups)

    def until(self, name: str, wanted: int, limit_s: float) -> None:
        """Wait until a figure is what it should be. Raises TimeoutError."""
        end_s = time.monotonic() + limit_s
        while self.total(name) != wanted:
            if time.monotonic() > end_s:
                raise TimeoutError(f"{name} is {self.total(name)}, not {wanted}, after {limit_s:.0f} s")
            time.sleep(0.1)

    def say(self, word: str) -> None:
        """Tell all groups a word."""
        for group in self.groups:
            group.say(word)

    def end(self) -> None:
        """End everything."""
        for group in self.groups:
            group.say("end")
        for group in self.groups:
            group.end()
        self._standin.terminate()
        self._standin.wait(20)
        self.broker.stop()


def run(folder: Path, units: int, calm_s: float, outage_s: float) -> FleetResult:
    """Bring the fleet up, kill the broker for `outage_s`, and look until all is well again."""
    began_s = time.monotonic()
    fleet = Fleet(folder, units)
    try:
        fleet.until("online", units, UP_LIMIT_S)
        up_s = time.monotonic() - began_s
        print(f"{units} units online after {up_s:.0f} s", flush=True)
        time.sleep(calm_s)
        fleet.broker.kill()
        time.sleep(outage_s)
        fleet.broker.start()
        back_s = time.monotonic()
        fleet.until("online", units, UP_LIMIT_S)
        online_s = sorted(at - back_s for group in fleet.groups for at in group.told["online_at_s"])
        fleet.say("quiet")
        fleet.until("waiting", 0, DRAIN_LIMIT_S)
        empty_s = time.monotonic() - back_s
        memory, threads = fleet.total("rss_kib"), fleet.total("threads")
        broker_kib = _rss_kib(fleet.broker.pid)
    finally:
        fleet.end()
    seconds = Counter(int(at) for at in online_s)
    records, repeated, wrong = _examined(fleet.db, folder, units)
    return FleetResult(
        units=units,
        up_s=up_s,
        outage_s=outage_s,
        half_back_s=online_s[len(online_s) // 2],
        nearly_all_back_s=online_s[int(len(online_s) * 0.99)],
        all_back_s=online_s[-1],
        peak_per_s=max(seconds.values()),
        empty_s=empty_s,
        events=fleet.total("wrote"),
        records=records,
        repeated=repeated,
        wrong=wrong,
        kib_per_unit=(memory - len(fleet.groups) * _base_kib()) / units,
        threads_per_unit=threads / units,
        broker_kib=broker_kib,
    )


def _examined(db: Path, folder: Path, units: int) -> tuple[int, int, int]:
    """Return records of notes at the coordinator, how many came again, and how many units lack or double one."""
    ledger = Ledger(db)
    try:
        rows = ledger.reading.execute(
            "SELECT unit, count(*) AS n, count(DISTINCT seq) AS seqs, max(seq) AS newest FROM records"
            " WHERE type != 'telemetry' GROUP BY unit"
        ).fetchall()
        repeated = ledger.reading.execute("SELECT sum(repeated), sum(conflicts) FROM progress").fetchone()
        gaps = ledger.reading.execute("SELECT count(*) FROM gaps").fetchone()[0]
    finally:
        ledger.close()
    found = {row["unit"]: (row["n"], row["seqs"], row["newest"]) for row in rows}
    wrong = int(gaps) + int(repeated[1] or 0)
    for number in range(units):
        name = f"unit-{number:05d}"
        mine = _newest(folder / name / "fabunit.db")
        count, distinct, newest = found.get(name, (0, 0, 0))
        wrong += not (count == distinct == mine and (newest or 0) == mine)
    return sum(count for count, _, _ in found.values()), int(repeated[0] or 0), wrong


def _newest(db: Path) -> int:
    import sqlite3  # noqa: PLC0415

    with contextlib.closing(sqlite3.connect(db)) as connection:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


def _base_kib() -> int:
    """Memory of a process that has everything loaded and no unit."""
    code = "import benchmarks.fleet_units, paho.mqtt.client, re\n"
    code += "print(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read()).group(1))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(run.stdout)


def _rss_kib(pid: int | None) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main() -> int:
    """Run it and tell; 1 when anything is lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--calm", type=float, default=60.0, help="seconds of usual work before the kill")
    parser.add_argument("--outage", type=float, default=20.0, help="seconds without a broker")
    args = parser.parse_args()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="fu-fleet-", dir=memory if memory.is_dir() else None))
    try:
        result = run(folder, args.units, args.calm, args.outage)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name in result.__slots__:
        value = getattr(result, name)
        print(f"{name:20} {value:.1f}" if isinstance(value, float) else f"{name:20} {value}")
    print(f"processes {-(-result.units // PER_PROCESS)}, cores {os.cpu_count()}")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
