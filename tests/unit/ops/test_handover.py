"""An installed new version is taken over to when nothing prints, and not before."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.ops.handover import LOOKS, MARK, Handover

LOOK_S = 0.01
LIMIT_S = 10.0


class Unit:
    """Busy for so many looks."""

    def __init__(self, busy_looks: int) -> None:
        self.busy_looks = busy_looks
        self.looks = 0
        self.is_held = False

    async def is_busy(self) -> bool:
        assert self.is_held, "no further print may start before the daemon looks whether one runs"
        self.looks += 1
        return self.looks <= self.busy_looks

    def hold(self) -> None:
        self.is_held = True


async def test_a_mark_of_the_time_before_is_not_for_this_process(tmp_path: Path) -> None:
    (tmp_path / MARK).write_text("2.0")
    unit = Unit(0)
    waiting = asyncio.create_task(Handover(tmp_path, is_busy=unit.is_busy, hold=unit.hold).wait(LOOK_S))
    await asyncio.sleep(LOOK_S * 5)
    assert not waiting.done()
    assert not unit.is_held
    waiting.cancel()


async def test_an_idle_unit_gives_way_at_once(tmp_path: Path) -> None:
    unit = Unit(0)
    handover = Handover(tmp_path, is_busy=unit.is_busy, hold=unit.hold)
    handover.mark.write_text("2.0\n")
    async with asyncio.timeout(LIMIT_S):
        await handover.wait(LOOK_S)
    assert unit.looks == LOOKS
    assert not handover.mark.exists()


async def test_a_printing_unit_gives_way_when_its_print_is_over(tmp_path: Path) -> None:
    unit = Unit(7)
    handover = Handover(tmp_path, is_busy=unit.is_busy, hold=unit.hold)
    handover.mark.write_bytes(b"\xff\xfe" * 500)  # whatever is in it
    async with asyncio.timeout(LIMIT_S):
        await handover.wait(LOOK_S)
    assert unit.looks == 7 + LOOKS
