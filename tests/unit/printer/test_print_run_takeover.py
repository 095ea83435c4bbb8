"""Taking a print over from an earlier connection or daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.job import Reason
from agent.domain.printer import PrinterState
from agent.domain.prints import OutcomeState, PrintState
from agent.printer.print_access import Wanted
from agent.printer.procedures import PauseSnapshot
from tests.unit.printer.print_bench import BASE, LINES, Bench, over


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.access.close()
    made.printer.close()


async def test_a_suspended_print_is_finished_by_the_next_daemon(bench: Bench) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    run.want(Wanted.SUSPEND)
    outcome = await task
    assert outcome.state is OutcomeState.SUSPENDED
    assert outcome.lines_acked == len(bench.printer.executed())
    await bench.access.close()
    assert (await over(bench.run(resume=True))).state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES


async def test_a_resumed_print_that_loses_its_cable_does_not_pause_again(bench: Bench) -> None:
    """The record of the order still says paused; what counts is what was wanted last."""
    await bench.leave_at(50)
    line = len(bench.printer.executed())
    bench.count_as(3_000_000)
    snapshot = PauseSnapshot("paused", line, {"X": 50.0, "Y": 50.0, "Z": 0.0, "E": 0.0}).to_json()
    run = bench.run(resume=True, state=PrintState.PAUSED, pause_snapshot=snapshot)
    task = asyncio.ensure_future(over(run))
    await bench.until_state(PrinterState.PAUSED)
    run.want(Wanted.RUN)
    await bench.until_executed(line + 10)
    bench.printer.unplug()
    assert (await task).state is OutcomeState.COMPLETED
    assert bench.access.states.count(PrinterState.PAUSED) == 1
    assert bench.printer.executed() == LINES


async def test_a_killed_daemon_is_followed_at_the_counter(bench: Bench) -> None:
    await bench.leave_at(200)
    outcome = await over(bench.run(resume=True))
    assert outcome.state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES
    assert outcome.stats["streamed_sha256"] is None


@pytest.mark.parametrize("stage", ["pausing", "paused"])
async def test_a_killed_pause_is_a_pause_again(bench: Bench, stage: str) -> None:
    await bench.leave_at(200)
    line = len(bench.printer.executed())
    bench.count_as(3_000_007)
    position = {"X": 60.0, "Y": 50.0, "Z": 0.0, "E": 0.0} if stage == "paused" else {}
    state = PrintState.PAUSED if stage == "paused" else PrintState.PRINTING
    run = bench.run(resume=True, state=state, pause_snapshot=PauseSnapshot(stage, line, position).to_json())
    task = asyncio.ensure_future(over(run))
    await bench.until_state(PrinterState.PAUSED)
    parked = "G1 X10 Y200 F6000" in bench.printer.host_commands()
    assert parked == (stage == "pausing")
    run.want(Wanted.RUN)
    assert (await task).state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES
    if stage == "paused":
        assert "G1 X60 Y50 F6000" in bench.printer.host_commands()


@pytest.mark.parametrize("counter", [3_000_007, None])
async def test_a_killed_cancel_is_cancelled(bench: Bench, counter: int | None) -> None:
    """With the counter in the host's numbers, or still in the job's: nothing is printed any more."""
    await bench.leave_at(200)
    line = len(bench.printer.executed())
    if counter is not None:
        bench.count_as(counter)
    snapshot = PauseSnapshot("cancelling", line).to_json()
    outcome = await over(bench.run(resume=True, pause_snapshot=snapshot, cancel_reason=Reason.USER))
    assert (outcome.state, outcome.reason) == (OutcomeState.CANCELLED, Reason.USER)
    assert len(bench.printer.executed()) == line
    assert "M104 S0" in bench.printer.host_commands()


async def test_a_killed_end_is_completed(bench: Bench) -> None:
    bench.count_as(3_000_007)
    snapshot = PauseSnapshot("finishing", len(LINES)).to_json()
    outcome = await over(bench.run(resume=True, pause_snapshot=snapshot))
    assert outcome.state is OutcomeState.COMPLETED
    assert bench.printer.executed() == []


async def test_a_print_killed_before_its_first_line_begins(bench: Bench) -> None:
    bench.count_as(3_000_007)
    assert (await over(bench.run(resume=True))).state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES


@pytest.mark.parametrize("counter", [0, 1, BASE - 1, BASE + len(LINES) + 1, 700_000])
async def test_a_board_that_does_not_remember_the_print_is_never_continued(
    bench: Bench, counter: int
) -> None:
    bench.count_as(counter)
    outcome = await over(bench.run(resume=True))
    assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, Reason.PRINTER_RESET)
    assert bench.printer.executed() == []


async def test_a_board_that_greets_was_reset_although_its_counter_fits(bench: Bench) -> None:
    bench.count_as(BASE + 5)
    bench.access.greeted = True
    outcome = await over(bench.run(resume=True))
    assert outcome.reason is Reason.PRINTER_RESET


async def test_a_firmware_that_cannot_be_asked_is_cooled_down(bench: Bench) -> None:
    bench.use("klipper", "klipper")
    outcome = await over(bench.run(resume=True))
    assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, Reason.DAEMON_RESTARTED)
    assert "M104 S0" in [e.cmd for e in bench.printer.firmware.executed]


async def test_a_print_whose_numbers_wrap_is_taken_over(bench: Bench) -> None:
    bench.use("repetier", "repetier")
    await bench.leave_at(200)
    await asyncio.sleep(0)
    assert bench.checkpoints == [PauseSnapshot("starting", 0).to_json(), None]
    assert (await over(bench.run(resume=True))).state is OutcomeState.COMPLETED
    await bench.until(lambda: len(bench.printer.executed()) >= len(LINES))
    assert bench.printer.executed()[: len(LINES)] == LINES
