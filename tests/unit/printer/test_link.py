"""The asyncio side of a connection, over a real pseudo-terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from agent.domain.errors import ArtefactError, RefusedError
from agent.printer.engine_events import Failed, StreamDone, Verdict
from agent.printer.feeder import Feeder
from agent.printer.link import LinkDownError, PrinterLink
from agent.printer.replies import PositionReport, Reply
from agent.printer.runner import PortLost
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize
from tests.unit.printer.prepared_files import answered, prepared_of, write
from tests.unit.printer.sim_printer import SimPrinter

LINES = [b"G1 X%d.%d F6000" % (i % 100, i % 10) for i in range(600)]


@pytest.fixture
def printer() -> Iterator[SimPrinter]:
    made = SimPrinter()
    yield made
    made.close()


@pytest.fixture
def replies() -> list[Reply]:
    return []


@pytest.fixture
async def link(printer: SimPrinter, replies: list[Reply]) -> AsyncIterator[PrinterLink]:
    made = PrinterLink(printer.plug(), answered(), WindowSize(4, 120), Transcript(), replies.append)
    made.start()
    yield made
    await made.close()


def feeding(
    path: Path, lines: list[bytes] = LINES, at: int = 0
) -> Callable[[int | None, Callable[[], None]], Feeder]:
    return lambda base, wake: Feeder(path, prepared_of(lines), base, at, wake)


async def test_commands_answer_in_order_with_their_own_lines(link: PrinterLink, replies: list[Reply]) -> None:
    await link.open_session(2_000_000)
    first, second = await asyncio.gather(link.command("M115"), link.command("M114"))
    assert any("FIRMWARE_NAME" in line for line in first)
    assert any("Count" in line for line in second)
    assert any(isinstance(reply, PositionReport) for reply in replies)


async def test_streaming_holding_and_going_on(link: PrinterLink, printer: SimPrinter, tmp_path: Path) -> None:
    path = write(tmp_path / "part", LINES)
    await link.open_session(21_000)
    link.stream(feeding(path))
    while link.engine.window.acked < 50:
        await asyncio.sleep(0.002)
    line = await link.hold(10)
    link.stop_feeding()
    assert printer.executed() == LINES[:line]
    await link.open_session(2_000_000)
    await link.command("M400")
    await link.open_session(21_000, line)
    async with asyncio.timeout(20):
        done = await link.stream(feeding(path, at=line))
    assert done == StreamDone(600, 21_600)
    assert printer.executed() == LINES


async def test_a_command_may_time_out_and_the_link_lives(link: PrinterLink) -> None:
    await link.open_session(2_000_000)
    with pytest.raises(RefusedError) as caught:
        await link.command("G4 S100", timeout_s=0.2)
    assert caught.value.code == "printer_busy"
    assert link.is_blocked
    assert await asyncio.wait_for(link.command("M105"), 10)
    assert not link.is_blocked


async def test_a_file_that_cannot_be_read_ends_the_stream(link: PrinterLink, tmp_path: Path) -> None:
    await link.open_session(21_000)
    done = link.stream(feeding(tmp_path / "gone"))
    with pytest.raises(ArtefactError):
        await asyncio.wait_for(done, 10)
    assert link.file_failure is not None


async def test_everybody_who_waits_hears_of_the_fall(
    link: PrinterLink, printer: SimPrinter, tmp_path: Path
) -> None:
    await link.open_session(21_000)
    done = link.stream(feeding(write(tmp_path / "part", LINES)))
    printer.unplug()
    with pytest.raises(LinkDownError):
        await asyncio.wait_for(done, 10)
    assert isinstance(link.down.result(), PortLost)
    for attempt in (link.open_session(1), link.command("M105"), link.hold(1), link.adopt_session(1, 1)):
        with pytest.raises(LinkDownError):
            await attempt
    link.urgent(b"M108\n")
    link.poll_temperatures()
    link.stop_feeding()


async def test_no_feeder_is_left_behind_by_a_fallen_link(
    link: PrinterLink, printer: SimPrinter, tmp_path: Path
) -> None:
    feeders: list[Feeder] = []
    path = write(tmp_path / "part", LINES * 40)

    def make(base: int | None, wake: Callable[[], None]) -> Feeder:
        feeders.append(Feeder(path, prepared_of(LINES * 40), base, 0, wake))
        return feeders[-1]

    await link.open_session(21_000)
    link.stream(make)
    printer.unplug()
    await asyncio.wait_for(asyncio.shield(link.down), 10)
    with pytest.raises(LinkDownError):
        await link.stream(make)
    assert len(feeders) == 1
    await asyncio.to_thread(feeders[0]._thread.join, 10)
    assert not feeders[0]._thread.is_alive()


async def test_the_emergency_stop_is_the_end_of_the_link(link: PrinterLink, printer: SimPrinter) -> None:
    await link.open_session(2_000_000)
    link.emergency()
    fell = await asyncio.wait_for(asyncio.shield(link.down), 10)
    assert isinstance(fell, Failed)
    assert fell.verdict is Verdict.HALTED
    with pytest.raises(LinkDownError):
        await link.open_session(3_000_000)
    async with asyncio.timeout(10):
        while printer.firmware.power.value != "killed":
            await asyncio.sleep(0.002)
    assert not [command for command in printer.host_commands() if "M110 N3000000" in command]


async def test_a_silent_board_counts_as_dead_soon_where_it_reports_by_itself(printer: SimPrinter) -> None:
    for capable, dead_s in ((True, 15.0), (False, 180.0)):
        link = PrinterLink(
            printer.plug(),
            answered(AUTOREPORT_TEMP=capable),
            WindowSize(4, 120),
            Transcript(),
            lambda _: None,
        )
        assert link.engine.pace.dead_s == dead_s
        await link.close()
