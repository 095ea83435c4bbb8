"""What the link costs: nothing on a stand-alone unit, little traffic elsewhere."""

from __future__ import annotations

import random
import subprocess
import sys

from agent.coordinator.documents import batch_body, packed
from agent.coordinator.recorder import Recorder
from agent.coordinator.records import block_record
from agent.domain.events import Stamp
from agent.domain.printer import PrinterSnapshot, PrinterState, PrintProgress, Temperature
from agent.storage.telemetry import StoredBlock

BOOT = "1595184d-5263-466c-9516-b658e8a6439d"
# Headers of TLS, TCP and IP around a packet that travels alone, both ways.
AROUND_BYTES = 22 + 40 + 40


def test_a_stand_alone_daemon_never_imports_the_link() -> None:
    names = "paho", "nacl", "agent.coordinator.link", "agent.coordinator.documents", "ctypes"
    code = (
        f"import sys, agent.app, agent.cli.main; print([name for name in {names!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


def test_an_hour_of_telemetry_is_forty_kilobytes() -> None:
    recorder, rng = Recorder(), random.Random(1)
    sizes: list[int] = []
    for second in range(3_600):
        temperatures = {"T0": Temperature(210 + rng.random(), 210), "B": Temperature(60 + rng.random(), 60)}
        progress = PrintProgress(
            "p-12345678",
            second * 10,
            36_000,
            0,
            0,
            second // 60,
            60,
            second / 300,
            second,
            3_600 - second,
            second / 3_600,
        )
        seen = PrinterSnapshot(state=PrinterState.PRINTING, temperatures=temperatures, progress=progress)
        stamp = Stamp(1_790_000_000_000 + second * 1000, second * 1000, BOOT)
        block = recorder.sample(seen, "order-1042.3", stamp)
        if block is not None:
            stored = StoredBlock(len(sizes) + 1, "t2b869c31187c1fe4", None, BOOT, "sync", block)
            payload, _ = packed(batch_body("unit-7f3a", 1, [block_record(stored).to_json()]))
            sizes.append(len(payload) + AROUND_BYTES)
    assert 58 <= len(sizes) <= 61
    assert sum(sizes) < 45_000


def test_the_link_adds_few_megabytes_to_a_daemon() -> None:
    code = (
        "import agent.log, agent.app\n"
        "def rss() -> int:\n"
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmRSS'))\n"
        "before = rss()\n"
        "import agent.coordinator.coordinator\n"
        "print(rss() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(run.stdout) < 10 * 1024, "kB; 7.1 MB were measured, 20 MB are allowed with all it does"


def test_the_daemon_does_not_load_the_gate() -> None:
    code = "import sys, agent.app; print('agent.gcode.prepare' in sys.modules, 'agent.gcode.scan' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == ["False", "False"]
