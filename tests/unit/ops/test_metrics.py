"""Figures for Prometheus: whole, parseable, and loaded only where they are on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.control.door import Door
from agent.control.routes.metrics import build
from agent.control.routes.status import read_status
from agent.ops.metrics import render
from tests.unit.control.fake_unit import FakeUnit, printing_unit

ROOT = Path(__file__).resolve().parents[3]
HOST = {
    "cpu_c": 51.5,
    "throttled": 0,
    "is_under_voltage": False,
    "disk_free_bytes": 5,
    "load": None,
    "is_clock_set": True,
}
LINK = {"state": "online", "events_waiting": 3}


async def figures(unit: FakeUnit, **changes: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    document: dict[str, Any] = {**(await read_status(unit.facade())), **changes}
    text = render(document).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


UNIT = ("unit", "unit-1")


async def test_a_printing_unit() -> None:
    found = await figures(printing_unit(), host=HOST, link=LINK)
    assert found["fabunit_printer_state", (("state", "printing"), UNIT)] == 1
    assert found["fabunit_printer_state", (("state", "idle"), UNIT)] == 0
    assert found["fabunit_heater_actual_celsius", (("heater", "T0"), UNIT)] == 214.8
    assert found["fabunit_port_resends_total", (UNIT,)] == 3
    assert found["fabunit_print_fraction", (UNIT,)] == 0.4213
    assert found["fabunit_jobs", (("state", "held"), UNIT)] == 1
    assert found["fabunit_bed_clear", (UNIT,)] == 0
    assert found["fabunit_link_events_waiting", (UNIT,)] == 3
    assert found["fabunit_host_cpu_temperature_celsius", (UNIT,)] == 51.5
    assert found["fabunit_host_clock_synchronised", (UNIT,)] == 1
    assert ("fabunit_host_load1", (UNIT,)) not in found, "what this machine does not tell is left out"


async def test_an_idle_stand_alone_unit() -> None:
    found = await figures(FakeUnit())
    names = {name for name, _ in found}
    assert "fabunit_print_fraction" not in names
    assert "fabunit_link_online" not in names
    assert "fabunit_host_cpu_temperature_celsius" not in names
    assert found["fabunit_printer_state", (("state", "offline"), UNIT)] == 1


async def test_every_figure_is_documented() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    host = dict.fromkeys((*HOST, "memory_total_bytes", "memory_available_bytes", "disk_total_bytes"), 1)
    for name, _ in await figures(printing_unit(), host=host, link=LINK):
        assert f"`{name}" in text, f"{name} is not in docs/metrics.md"


async def test_a_listener_of_its_own_knows_nothing_else() -> None:
    unit = printing_unit().facade()
    door = Door("metrics", ("127.0.0.1", 0), lambda _: build(unit))
    running = asyncio.create_task(door.run())
    await door.wait_listening()

    async def ask(path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer

    assert b" 404 " in (await ask("/v1/status")).partition(b"\r\n")[0]
    assert b" 404 " in (await ask("/metrics")).partition(b"\r\n")[0], "this unit has its figures off"
    door.stop()
    await running


LATE = ["prometheus_client", "agent.control.web", "agent.ops.metrics", "agent.ops.doctor", "numpy"]


@pytest.mark.parametrize("name", LATE)
def test_a_daemon_with_shut_doors_does_not_load_them(name: str) -> None:
    code = "import json, sys, agent.app, agent.control.api; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert name not in json.loads(done.stdout)
