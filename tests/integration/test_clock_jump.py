"""The wall clock jumps in the middle of a print, as on a board without a clock of its own that finds the network.

libfaketime stands between the daemon and the kernel: what it says of the wall clock comes from a file that the test
changes; the clocks that only count (CLOCK_MONOTONIC, CLOCK_BOOTTIME) are left alone, as by a real jump.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rig import Rig, commands, spiral

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
HOUR_MS = 3_600_000
pytestmark = pytest.mark.skipif(
    not _LIBRARIES, reason="libfaketime is not installed (apt install libfaketime)"
)


class WallClock:
    """The daemon's wall clock."""

    def __init__(self, rig: Rig) -> None:
        self._file = rig.folder / "clock"
        self.jump("+0")
        rig.environ |= {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, offset: str) -> None:
        """Set the distance to the real time, such as `+1y` or `-1d`, at once."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.replace(self._file)


def test_a_print_goes_on_exactly_while_the_clock_jumps_a_year_and_back(rig: Rig) -> None:
    clock = WallClock(rig)
    part = spiral(9000)
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until_executed(500)
    clock.jump("+365d")
    pause_and_resume(rig)
    rig.until_executed(2000)
    clock.jump("-1d")
    pause_and_resume(rig)
    rig.until_executed(3500)
    rig.kill_daemon()
    rig.start_daemon()
    rig.until_executed(5000)
    clock.jump("+365d")
    rig.kill_daemon()
    rig.start_daemon()
    rig.until_executed(6500)
    clock.jump("+0")
    job = rig.until_ended(job_id, 120)
    assert job["state"] == "completed", job
    assert rig.executed() == commands(part)
    events = events_of(rig)
    assert_in_order(events)
    assert jumps_ms(events) == [YEAR_MS, -YEAR_MS - DAY_MS, YEAR_MS + DAY_MS, -YEAR_MS]
    assert "stepped" in {event["clk"] for event in events}
    assert [e["state"] for e in events if e["type"] == "safety"] == [], "no timer ran out"
    assert {e["reason"] for e in events if e["type"] == "print"} <= {None, "", "user"}, events


def pause_and_resume(rig: Rig) -> None:
    """Two transitions, each with an event in the time after the jump."""
    rig.client.post("/v1/print/pause")
    rig.until_state("paused")
    rig.client.post("/v1/print/resume")
    rig.until_state("printing")


def events_of(rig: Rig) -> list[dict[str, Any]]:
    return list(rig.client.get("/v1/events", tail=500)["events"])


def assert_in_order(events: list[dict[str, Any]]) -> None:
    """Order is that of the numbers, and the counting clock agrees with it; the wall clock does not."""
    assert [e["seq"] for e in events] == sorted({e["seq"] for e in events})
    counted = [e["mono_ms"] for e in events]
    assert counted == sorted(counted)
    assert [e["t_ms"] for e in events] != sorted(e["t_ms"] for e in events)


def jumps_ms(events: list[dict[str, Any]]) -> list[int]:
    """The jumps the daemon has recorded, to the hour."""
    offsets = [e["t_ms"] - e["mono_ms"] for e in events]
    steps = [later - before for before, later in pairwise(offsets)]
    return [round(step / HOUR_MS) * HOUR_MS for step in steps if abs(step) > HOUR_MS]
