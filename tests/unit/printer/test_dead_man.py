"""Whether and how long the firmware's dead-man timer is set."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.printer import FirmwareInfo, PrinterState
from agent.domain.prints import OutcomeState
from agent.printer import dead_man
from agent.printer.dead_man import DEAD_MAN_S, Stillness, can_be_set, seconds, stillness_of
from agent.printer.dialects import by_name
from agent.printer.handshake import Answered
from agent.printer.print_access import PrintHabits, Wanted
from agent.printer.print_run import RECONNECT_LIMIT_S
from tests.unit.printer.prepared_files import answered
from tests.unit.printer.print_bench import Bench, over


def board(dialect: str, firmware: str) -> Answered:
    known = by_name(dialect)
    assert known is not None
    return replace(answered(0, known), firmware=FirmwareInfo(name=firmware))


NEW = board("marlin", "Marlin 2.1.2.5 (Feb 1 2025)")


@pytest.mark.parametrize(("identity", "by_itself", "when_told"), [
    (NEW, True, True),
    (board("marlin", "Marlin bugfix-2.1.x (Nov 22 2026)"), True, True),
    (board("marlin", "TH3D UFW"), False, True),
    (board("marlin_20", "Marlin 2.0.5.3"), False, True),
    (board("marlin_1", "Marlin 1.1.9"), False, True),
    (board("prusa", "Prusa-Firmware 3.14.0 based on Marlin"), False, True),
    (board("buddy", "Prusa-Firmware-Buddy 6.0"), False, False),
    (board("klipper", "Klipper"), False, False),
    (replace(NEW, firmware=None), False, True),
])  # fmt: skip
def test_the_timer_is_used_where_it_is_known_to_count_rightly(
    identity: Answered, by_itself: bool, when_told: bool
) -> None:
    assert can_be_set(identity, None) is by_itself
    assert can_be_set(identity, 900) is when_told
    assert not can_be_set(identity, 0)


def test_it_is_longer_than_the_wait_for_a_lost_port_and_than_every_dwell() -> None:
    assert RECONNECT_LIMIT_S < DEAD_MAN_S
    assert dead_man.REFRESH_S * 2 < DEAD_MAN_S
    assert seconds(NEW, None, Stillness()) == DEAD_MAN_S
    assert seconds(NEW, None, Stillness(dwell_s=1200.4)) == DEAD_MAN_S + 1200
    assert seconds(NEW, 600, Stillness(dwell_s=30)) == 630
    assert seconds(NEW, None, Stillness(waits=True)) == 0
    assert seconds(NEW, 0, Stillness()) == 0


@pytest.mark.parametrize("line", ["M0", "M0 Take it", "M1 S5", "M600", "M601", "M84 S0", "M18 S0"])
def test_a_wait_for_a_person_is_found_wherever_it_stands(tmp_path: Path, line: str) -> None:
    for text in (f"{line}\nG28\n", f"G28\n{line}\n", "G1 X1\n" * 100_000 + f"{line}\nG28\n"):
        (tmp_path / "part").write_text(text)
        assert stillness_of(tmp_path / "part").waits


def test_dwells_are_added_up_and_nothing_else_is_taken_for_a_wait(tmp_path: Path) -> None:
    filler = "G1 X1 E0.1\n" * 60_000
    text = f"M84 S60\nM84\nM106 S255\nM017\nG4 S30\n{filler}G4 P1500\nG4\nM104 S0\nM117 M0\nG4 S60\n"
    (tmp_path / "part").write_text(text)
    assert stillness_of(tmp_path / "part") == Stillness(waits=False, dwell_s=91.5)


async def test_a_paused_print_sets_the_timer_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "REFRESH_S", 0.02)
    bench = Bench(tmp_path)
    bench.access.habits = PrintHabits(dead_man_s=900)
    try:
        run = bench.run()
        task = asyncio.ensure_future(over(run))
        await bench.until_executed(100)
        assert bench.printer.host_commands().count("M85 S900") == 1
        run.want(Wanted.PAUSE)
        await bench.until_state(PrinterState.PAUSED)
        await bench.until(lambda: bench.printer.host_commands().count("M85 S900") > 3)
        run.want(Wanted.RUN)
        assert (await task).state is OutcomeState.COMPLETED
        assert bench.printer.host_commands()[-1] == "M85 S0"
    finally:
        await bench.access.close()
        bench.printer.close()
