"""What a unit learns about its printer, keeps over restarts, and shows."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest

from agent.domain.errors import FabunitError
from tests.integration.cli_runner import fabunit
from tests.integration.rig import Rig, spiral


def said(rig: Rig) -> list[str]:
    """What this daemon has sent so far."""
    entries = rig.client.get("/v1/console/tail", n=200)["entries"]
    return [entry["text"] for entry in entries if entry["direction"] == "sent"]


def is_on_disk(rig: Rig) -> bool:
    with contextlib.closing(sqlite3.connect(rig.state / "fabunit.db")) as database:
        rows = database.execute("SELECT port_id FROM printers").fetchall()
    return len(rows) == 1


def test_what_was_learned_is_used_by_the_next_daemon(rig: Rig) -> None:
    rig.start_printer("--advanced-ok", "--slots", "8")
    rig.start_daemon()
    rig.until_state("idle")
    learned = rig.client.get("/v1/printer")["learned"]
    assert learned["stop"]["parser"] == "proven"
    assert learned["window"] == {"lines": 8, "bytes": 120}
    assert "M108" in said(rig)
    rig.until(lambda: is_on_disk(rig), "what was learned is on disk")
    rig.stop_daemon()
    rig.start_daemon()
    rig.until_state("idle")
    assert rig.client.get("/v1/printer")["learned"] == learned
    assert "M108" not in said(rig), "the question was settled"


def test_a_stop_that_has_to_wait_is_said_and_can_be_tested_again(rig: Rig) -> None:
    rig.start_printer("--deaf-parser")
    rig.start_daemon()
    rig.until_state("idle")
    status = rig.status()
    assert status is not None
    assert any("announces an emergency parser that does not act" in text for text in status["warnings"])
    answer = rig.client.post("/v1/printer/test-stop", timeout_s=30.0)
    assert answer["state"] == "idle"
    assert answer["learned"]["stop"] == {"parser": "absent", "latency_ms": None, "tested": True}
    tested = fabunit("printer", "test-stop", socket=rig.socket)
    assert tested.code == 0
    assert "waits for a running heat-up" in tested.out
    assert "no working emergency parser" in fabunit("printer", "info", socket=rig.socket).out


def test_the_stop_path_is_not_tested_while_printing(rig: Rig) -> None:
    rig.start_printer(speed=20)
    rig.start_daemon()
    rig.submit(spiral(2000))
    rig.until_executed(5)
    with pytest.raises(FabunitError) as refused:
        rig.client.post("/v1/printer/test-stop")
    assert refused.value.code == "printing"
    assert rig.printer_state() == "printing"


def long_moves(count: int) -> str:
    """Moves of 25 seconds each, which no look-ahead makes shorter."""
    lines = ["G21", "G90", "M83", "G28", "G1 Z5 F3000"]
    lines += [f"G1 X{10 + 100 * (index % 2)} Y20 F240" for index in range(count)]
    return "\n".join([*lines, "M84", ""])


def test_without_a_parser_a_stop_still_gets_past_a_full_planner(rig: Rig) -> None:
    """One command slot stays free, so the M112 is read although no slot gets free for seconds."""
    rig.start_printer("--no-emergency-parser", speed=5)
    rig.start_daemon()
    rig.submit(long_moves(60))
    printed = 16 + 5  # the planner is full, and so is the window
    rig.until_executed(printed)
    rig.until(lambda: rig.client.get("/v1/printer")["health"]["lines_sent"] > printed, "the window is full")
    rig.client.post("/v1/stop")
    began = time.monotonic()
    rig.until(
        lambda: any(entry.get("event") == "kill" for entry in rig.entries()), "the board has halted", 3.0
    )
    assert time.monotonic() - began < 1.0


def test_an_emergency_stop_also_cuts_the_power_where_a_program_can(rig: Rig) -> None:
    off = rig.folder / "power-off"
    off.write_text(f'#!/bin/sh\necho "$FABUNIT_REASON" > {rig.folder / "off"}\n')
    off.chmod(0o755)
    rig.configure(power_off=[str(off)])
    rig.start_printer()
    rig.start_daemon()
    rig.until_state("idle")
    rig.client.post("/v1/stop")
    rig.until((rig.folder / "off").exists, "the power is off")
    rig.until(
        lambda: "power_off" in [event["state"] for event in rig.client.get("/v1/events")["events"]], "told"
    )
    assert any(entry.get("event") == "kill" for entry in rig.entries())
