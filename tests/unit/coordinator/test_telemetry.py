"""Blocks: a minute as least, mean and greatest; kept in a database of their own that cannot grow without end."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.coordinator.recorder import IDLE_BLOCK_S, Recorder
from agent.coordinator.records import loaded_blocks
from agent.domain.events import ClockState, Stamp
from agent.domain.printer import PrinterSnapshot, PrinterState, Temperature
from agent.domain.telemetry import BlockBuilder, TelemetryBlock, merged
from agent.storage.telemetry import TelemetryStore


def stamp(seconds: float, boot: str = "b1") -> Stamp:
    return Stamp(1_800_000_000_000 + round(seconds * 1000), round(seconds * 1000), boot, ClockState.SYNC)


def block(seconds: float, celsius: float = 210.0, span_s: float = 60.0) -> TelemetryBlock:
    builder = BlockBuilder(stamp(seconds).t_ms, stamp(seconds).mono_ms)
    builder.add({"T0": celsius}, {"state": "printing"})
    return builder.block(span_s)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TelemetryStore]:
    store = TelemetryStore(tmp_path / "telemetry.db", max_blocks=100)
    await store.open()
    yield store
    await store.close()


@given(st.lists(st.lists(st.floats(-50, 500), min_size=1, max_size=20), min_size=1, max_size=6))
def test_merging_is_as_good_as_measuring_longer(minutes: list[list[float]]) -> None:
    parts, whole = [], BlockBuilder(0, 0)
    for number, values in enumerate(minutes):
        builder = BlockBuilder(number * 60_000, number * 60_000)
        for value in values:
            builder.add({"T0": value}, {})
            whole.add({"T0": value}, {})
        parts.append(builder.block(60.0))
    joined, direct = merged(parts).channels["T0"], whole.block(60.0).channels["T0"]
    assert (joined.least, joined.greatest, joined.n) == (direct.least, direct.greatest, direct.n)
    assert joined.mean == pytest.approx(direct.mean, abs=1e-6)


def look(
    recorder: Recorder, seconds: float, target: float = 210.0, state: PrinterState = PrinterState.PRINTING
) -> bool:
    seen = PrinterSnapshot(state=state, temperatures={"T0": Temperature(24.0, target)})
    return recorder.sample(seen, "order-1", stamp(seconds)) is not None


def test_a_busy_printer_makes_a_block_a_minute_and_an_idle_one_four_an_hour() -> None:
    recorder = Recorder()
    assert sum(look(recorder, second) for second in range(3_600)) in (59, 60)
    recorder = Recorder()
    idle = sum(look(recorder, second, 0.0, PrinterState.IDLE) for second in range(3_600))
    assert idle <= 3_600 / IDLE_BLOCK_S


def test_an_absent_printer_makes_none() -> None:
    recorder = Recorder()
    assert not any(look(recorder, second, 0.0, PrinterState.OFFLINE) for second in range(3_600))


async def test_blocks_are_numbered_and_deleted_by_acknowledgement(store: TelemetryStore) -> None:
    for number in range(10):
        assert await store.append(block(number * 60), stamp(number * 60)) == number + 1
    waiting = await store.read(3, 4)
    assert [stored.seq for stored in waiting.blocks] == [4, 5, 6, 7]
    epoch = waiting.blocks[0].epoch
    assert waiting.held_from == {epoch: 1}
    assert await store.acknowledge("another", 10) == 0
    assert await store.acknowledge(epoch, 6) == 6
    assert (await store.read(0, 100)).held_from == {epoch: 7}
    assert await store.acknowledge(epoch, 10) == 10
    assert await store.append(block(0), stamp(0)) == 11, "a number is never given out twice"


async def test_every_boot_has_an_epoch_of_its_own(store: TelemetryStore) -> None:
    """A power cut may take back numbers that the coordinator has seen already."""
    await store.append(block(0), stamp(0, "boot-1"))
    await store.append(block(0), stamp(0, "boot-2"))
    first, second = (await store.read(0, 10)).blocks
    assert first.epoch != second.epoch
    assert (await store.acknowledge(first.epoch, 1)) == 1


async def test_the_bound_merges_first_and_drops_last(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "telemetry.db", max_blocks=100)
    await store.open()
    try:
        for number in range(1, 700):
            await store.append(block(number * 60), stamp(number * 60))
        waiting = await store.read(0, 1_000)
        assert len(waiting.blocks) <= 101
        numbers: list[int] = []
        for stored in waiting.blocks:
            numbers += range(stored.covers or stored.seq, stored.seq + 1)
        assert numbers == list(range(numbers[0], 700)), "merged blocks stand for all of their numbers"
        assert numbers[0] < 400, "merging keeps more time than dropping would"
        assert waiting.held_from == {waiting.blocks[0].epoch: numbers[0]}
        record = loaded_blocks(0, waiting).records[0]
        assert b'"covers"' in record.body
    finally:
        await store.close()


async def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    path.write_bytes(b"no database at all, but long enough to be read as one" * 100)
    store = TelemetryStore(path)
    await store.open()
    assert await store.append(block(0), stamp(0)) == 1
    await store.close()


async def test_a_week_offline_stays_small(tmp_path: Path) -> None:
    """Seven days of printing: 10,080 blocks."""
    path = tmp_path / "telemetry.db"
    store = TelemetryStore(path)
    await store.open()
    await store.append(block(0), stamp(0))
    await store.close()
    with sqlite3.connect(path) as connection:
        row = connection.execute(
            "SELECT epoch, t_ms, mono_ms, boot, clk, span_s, body FROM blocks"
        ).fetchone()
        connection.executemany(
            "INSERT INTO blocks (epoch, t_ms, mono_ms, boot, clk, span_s, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [row] * 10_079,
        )
    connection.close()
    assert path.stat().st_size < 8 << 20


async def test_an_omitted_block_keeps_its_number(store: TelemetryStore) -> None:
    await store.append(block(0), stamp(0))
    await store.omit(1)
    (stored,) = (await store.read(0, 10)).blocks
    assert stored.block.channels == {}
