"""Whole print runs: the real link and thread, the firmware model behind a pseudo-terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.job import Reason
from agent.domain.printer import PrinterState
from agent.domain.prints import OutcomeState
from agent.printer.print_access import PrintHabits, Wanted
from agent.printer.procedures import PauseSnapshot
from agent.sim.firmware import Firmware
from tests.unit.printer.print_bench import BASE, LINES, Bench, over


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.access.close()
    made.printer.close()


async def test_a_print_is_exact_and_its_receipt_says_so(bench: Bench) -> None:
    outcome = await over(bench.run())
    assert outcome.state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES
    assert outcome.stats["counter"] == BASE + len(LINES)
    assert outcome.stats["streamed_sha256"] == outcome.stats["prepared_sha256"] == bench.prepared.sha256
    assert (outcome.lines_acked, outcome.stats["reconnects"]) == (len(LINES), 0)
    assert PauseSnapshot.from_json(bench.checkpoints[-1]) == PauseSnapshot("finishing", len(LINES))
    assert "M400" in bench.printer.host_commands()


async def test_pausing_parks_and_resuming_goes_on_at_the_very_line(bench: Bench) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    run.want(Wanted.PAUSE, Reason.USER)
    await bench.until_state(PrinterState.PAUSED)
    standing = bench.printer.executed()
    assert standing == LINES[: len(standing)]
    stages = [PauseSnapshot.from_json(text) for text in bench.checkpoints]
    assert [(s.stage, s.line) for s in stages if s] == [("pausing", len(standing)), ("paused", len(standing))]
    assert "G1 X10 Y200 F6000" in bench.printer.host_commands()
    run.want(Wanted.RUN)
    assert (await task).state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES
    assert bench.pauses == [True, False]


async def test_a_resume_before_the_pause_has_begun_just_goes_on(bench: Bench) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    run.want(Wanted.PAUSE, Reason.USER)
    await bench.until_state(PrinterState.PAUSING)
    run.want(Wanted.RUN)
    await bench.until(lambda: task.done() or bench.access.states[-1] is PrinterState.PAUSED)
    run.want(Wanted.RUN)
    assert (await task).state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES


async def test_a_resume_while_the_dead_man_timer_is_set_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange that sets the timer sees the request first; the pause must not wait for the next refresh."""
    monkeypatch.setattr(bench.access, "habits", PrintHabits(dead_man_s=600))
    run = bench.run()
    keep = bench.access.set_state

    def resume_at_once(state: PrinterState, detail: str = "") -> None:
        keep(state, detail)
        if state is PrinterState.PAUSED:
            asyncio.get_running_loop().call_soon(run.want, Wanted.RUN)

    monkeypatch.setattr(bench.access, "set_state", resume_at_once)
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    run.want(Wanted.PAUSE, Reason.USER)
    assert (await task).state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES
    assert bench.pauses == [True, False]
    assert any(command.startswith("M85 S") for command in bench.printer.host_commands())


async def test_a_pause_during_the_return_comes_after_it_and_keeps_the_place(bench: Bench) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    run.want(Wanted.PAUSE)
    await bench.until_state(PrinterState.PAUSED)
    place = PauseSnapshot.from_json(bench.checkpoints[-1])
    run.want(Wanted.RUN)
    await bench.until_state(PrinterState.RESUMING)
    run.want(Wanted.PAUSE)
    await bench.until_state(PrinterState.PAUSED)
    again = PauseSnapshot.from_json(bench.checkpoints[-1])
    assert place is not None
    assert again is not None
    assert again.line >= place.line
    if again.line == place.line:
        assert again.position == place.position
    run.want(Wanted.RUN)
    assert (await task).state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (Reason.USER, OutcomeState.CANCELLED),
        (Reason.COORDINATOR, OutcomeState.CANCELLED),
        (Reason.HEATER_RUNAWAY, OutcomeState.FAILED),
    ],
)
async def test_cancelling_cools_down(bench: Bench, reason: Reason, state: OutcomeState) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    run.want(Wanted.CANCEL, reason, "enough")
    run.want(Wanted.RUN)  # a cancel is final
    outcome = await task
    assert (outcome.state, outcome.reason) == (state, reason)
    executed = bench.printer.executed()
    assert executed == LINES[: len(executed)]
    assert {"M104 S0", "M140 S0", "M107", "M84"} <= set(bench.printer.host_commands())


async def test_cancelling_a_paused_print(bench: Bench) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    run.want(Wanted.PAUSE)
    await bench.until_state(PrinterState.PAUSED)
    run.want(Wanted.CANCEL, Reason.USER)
    assert (await task).state is OutcomeState.CANCELLED
    assert "M104 S0" in bench.printer.host_commands()


async def test_a_pulled_cable_costs_a_reconnect(bench: Bench) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    for count in (100, 300):
        await bench.until_executed(count)
        bench.printer.unplug()
    outcome = await task
    assert outcome.state is OutcomeState.COMPLETED
    assert bench.printer.executed() == LINES
    assert outcome.stats["reconnects"] == bench.access.links - 1 >= 2
    assert PrinterState.CONNECTING in bench.access.states


@pytest.mark.parametrize(("board", "dialect"), [("klipper", "klipper"), ("reprapfirmware", "reprap")])
async def test_a_print_without_a_counter(bench: Bench, board: str, dialect: str) -> None:
    bench.use(board, dialect)
    outcome = await over(bench.run())
    assert outcome.state is OutcomeState.COMPLETED
    assert outcome.stats["counter"] is None
    sent = [e.cmd.encode() for e in bench.printer.firmware.executed if e.n is None or e.n < 1_000_000]
    assert [line for line in sent if line in set(LINES)][: len(LINES)] == LINES


async def test_a_file_that_has_changed_since_its_check_is_not_printed(bench: Bench) -> None:
    bench.path.write_bytes(bench.path.read_bytes()[:-9])
    outcome = await over(bench.run())
    assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, Reason.ARTEFACT_LOST)
    assert bench.printer.executed() == []


async def test_other_bytes_of_the_same_size_are_found_out(bench: Bench) -> None:
    bench.path.write_bytes(bench.path.read_bytes().replace(b"M107", b"M106"))
    outcome = await over(bench.run())
    assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, Reason.HASH_MISMATCH)


async def test_a_reset_in_the_middle_is_the_end(bench: Bench) -> None:
    task = asyncio.ensure_future(over(bench.run()))
    await bench.until_executed(100)
    bench.printer.do(lambda firmware, now: firmware.reset(now))
    outcome = await task
    assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, Reason.PRINTER_RESET)
    executed = bench.printer.executed()
    assert executed == LINES[: len(executed)]
    assert len(executed) < len(LINES)


async def test_an_emergency_stop_names_its_reason(bench: Bench) -> None:
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await bench.until_executed(100)
    assert bench.access.link is not None
    bench.access.link.emergency()
    run.stopped(Reason.EMERGENCY_STOP, "emergency stop")
    outcome = await task
    assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, Reason.EMERGENCY_STOP)


@pytest.mark.parametrize(
    ("wanted", "state"),
    [(Wanted.CANCEL, OutcomeState.CANCELLED), (Wanted.SUSPEND, OutcomeState.SUSPENDED)],
)
async def test_requests_are_heard_without_a_connection(
    bench: Bench, wanted: Wanted, state: OutcomeState
) -> None:
    bench.access.away = True
    run = bench.run()
    task = asyncio.ensure_future(over(run))
    await asyncio.sleep(0)
    run.want(wanted)
    assert (await task).state is state


async def test_a_port_where_nobody_answers_fails_the_print(bench: Bench) -> None:
    bench.access.away = True
    bench.access.unanswered_since = time.monotonic() - 60
    outcome = await over(bench.run())
    assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, Reason.PRINTER_SILENT)


async def test_the_cause_a_firmware_names_before_it_halts_is_in_the_outcome(bench: Bench) -> None:
    task = asyncio.ensure_future(over(bench.run()))
    await bench.until_executed(100)

    def fail_to_home(firmware: Firmware, now: float) -> None:
        firmware.advance(now)
        firmware.board.say("Error:Homing Failed")
        firmware.board.emergency_stop()

    bench.printer.do(fail_to_home)
    outcome = await task
    assert outcome.reason is Reason.PRINTER_HALTED
    assert outcome.detail == "Homing Failed; M112 Shutdown"
