from __future__ import annotations

import pytest

from agent.domain.errors import UsageError
from agent.storage.clock import SystemClock
from agent.storage.database import Database
from agent.storage.printers import MAX_RECORD_BYTES, MAX_RECORDS, LearnedPrinters


async def test_learned_records_are_kept_per_port(database: Database) -> None:
    printers = LearnedPrinters(database, SystemClock())
    assert await printers.load("usb:1") is None
    await printers.save("usb:1", {"window_lines": 4})
    await printers.save("usb:2", {"window_lines": 8})
    await printers.save("usb:1", {"window_lines": 5, "baud": 115200})
    assert await printers.load("usb:1") == {"window_lines": 5, "baud": 115200}
    assert await printers.load("usb:2") == {"window_lines": 8}
    assert await printers.last() == {"window_lines": 5, "baud": 115200}


async def test_without_a_printer_nothing_was_last(database: Database) -> None:
    assert await LearnedPrinters(database, SystemClock()).last() is None


async def test_a_record_without_bounds_is_refused(database: Database) -> None:
    printers = LearnedPrinters(database, SystemClock())
    with pytest.raises(UsageError):
        await printers.save("usb:1", {"x": "y" * MAX_RECORD_BYTES})
    assert await printers.load("usb:1") is None


def test_the_clock_names_its_boot() -> None:
    first, second = SystemClock().stamp(), SystemClock().stamp()
    assert first.boot == second.boot
    assert second.mono_ms >= first.mono_ms


async def test_all_records_come_back_the_last_one_first(database: Database) -> None:
    printers = LearnedPrinters(database, SystemClock())
    assert await printers.records() == []
    for port_id in ("usb:1", "usb:2", "usb:1"):
        await printers.save(port_id, {"port_id": port_id})
    assert [record["port_id"] for record in await printers.records()] == ["usb:1", "usb:2"]


async def test_a_bench_with_changing_printers_does_not_fill_the_table(database: Database) -> None:
    printers = LearnedPrinters(database, SystemClock())
    for index in range(MAX_RECORDS + 3):
        await printers.save(f"usb:{index}", {"port_id": index})
    records = await printers.records()
    assert len(records) == MAX_RECORDS
    assert records[0] == {"port_id": MAX_RECORDS + 2}
    assert await printers.last() == records[0]
