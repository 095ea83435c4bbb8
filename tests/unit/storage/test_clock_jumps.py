"""A clock that jumps by years changes times on record, never an order or a wait."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from agent.domain.events import ClockState, EventDraft, EventType, Stamp
from agent.jobs.queue import Queue
from agent.storage.artefacts import StoredArtefact
from agent.storage.database import Database

ROOT = Path(__file__).resolve().parents[3]
YEAR_MS = 366 * 86_400_000
# Modules that only write down or show the time, with what for.
WALL_CLOCK = {
    "agent/log.py": "the time of a log entry",
    "agent/control/routes/status.py": "the time of a status document",
    "agent/printer/service.py": "the time of a console line",
    "agent/storage/clock.py": "the stamp of an event, beside the monotonic clock",
    "agent/storage/database.py": "the name of a damaged file",
    "agent/coordinator/tls.py": "the date by which a certificate was judged, for a person",
    "agent/ops/bundle/archive.py": "the time of a file in a bundle",
}
DAEMON = ("storage", "jobs", "printer", "control", "coordinator", "ops", "slicing", "mesh", "gcode")
WALL_NAMES = {"time", "time_ns", "localtime", "gmtime", "now", "utcnow", "today"}


class JumpingClock:
    """Wall time goes back and forth by years, monotonic time goes on."""

    def __init__(self) -> None:
        self.calls = 0

    def stamp(self) -> Stamp:
        self.calls += 1
        return Stamp(1_790_000_000_000 + (-1) ** self.calls * YEAR_MS, self.calls, "boot", ClockState.STEPPED)


async def test_order_is_by_number_not_by_time(database: Database) -> None:
    queue = Queue(database, JumpingClock())
    await queue.open()
    jobs = [
        await queue.add(StoredArtefact(f"{number:064x}", 10, "gcode", f"{number}.gcode"))
        for number in range(6)
    ]
    assert [job.job_id for job in await queue.list()] == [job.job_id for job in jobs]
    for job in jobs[:4]:
        await queue.cancel(job.job_id)
    over = [job.job_id for job in await queue.list(include_over=True) if job.state.is_terminal]
    assert over == [job.job_id for job in reversed(jobs[:4])], "the last one that ended comes first"
    await queue.record(EventDraft(EventType.UNIT, "x"))
    events = await queue.events_after(0)
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    assert [event.mono_ms for event in events] == sorted(event.mono_ms for event in events)
    assert len({event.t_ms for event in events}) == 2


def wall_clock_calls(source: Path) -> set[str]:
    """Names of the wall clock that a module calls."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if (
                node.func.attr in WALL_NAMES
                and isinstance(owner, ast.Name)
                and owner.id in ("time", "datetime", "date")
            ):
                found.add(f"{owner.id}.{node.func.attr}")
    return found


@pytest.mark.parametrize("package", DAEMON)
def test_nothing_in_the_daemon_waits_by_the_wall_clock(package: str) -> None:
    for source in sorted((ROOT / "agent" / package).rglob("*.py")):
        name = str(source.relative_to(ROOT))
        calls = wall_clock_calls(source)
        if name not in WALL_CLOCK and "standin" not in name:
            assert not calls, f"{name} asks the wall clock: {calls}"
