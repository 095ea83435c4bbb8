"""Keeping a printer connected: what is logged, what is remembered, what is let go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import structlog
from structlog.testing import capture_logs

from agent.domain.printer import PrinterState
from agent.printer import connection as connection_module
from agent.printer.connection import Connection, LinkListener, Shown
from agent.printer.connector import Connector
from agent.printer.link import PrinterLink
from agent.printer.memory import PrinterMemory
from agent.printer.transcript import Transcript
from tests.unit.printer.prepared_files import profile
from tests.unit.printer.sim_printer import SimPrinter
from tests.unit.printer.test_connector import link_to
from tests.unit.printer.test_kept_ports import Store
from tests.unit.printer.test_learned import Records

LIMIT_S = 20.0


def states(entries: list[Any]) -> list[tuple[str, str]]:
    return [(e["state"], e["detail"]) for e in entries if e["event"] == "printer_state"]


def test_a_search_is_logged_once() -> None:
    with capture_logs() as entries:
        shown = Shown()
        for _ in range(5):
            shown.set(PrinterState.CONNECTING, shown.detail)
            shown.set(PrinterState.OFFLINE, "there is no port")
        shown.set(PrinterState.CONNECTING, shown.detail)
        shown.set(PrinterState.OFFLINE, "nobody answers")
        shown.set(PrinterState.CONNECTING, shown.detail)
        shown.set(PrinterState.IDLE)
        shown.set(PrinterState.IDLE)
        shown.set(PrinterState.CONNECTING, "the cable was pulled")
    assert states(entries) == [
        ("connecting", ""),
        ("offline", "there is no port"),
        ("offline", "nobody answers"),
        ("idle", ""),
        ("connecting", "the cable was pulled"),
    ]


async def _nothing(_: PrinterLink) -> None:
    return


@contextlib.asynccontextmanager
async def running(
    connector: Connector, in_use: Callable[[], bool] = lambda: False
) -> AsyncIterator[tuple[Connection, Shown]]:
    shown = Shown()
    connection = Connection(connector, Transcript(), shown, LinkListener(lambda _: None, _nothing, in_use))
    task = asyncio.create_task(connection.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            yield connection, shown
    finally:
        connector.give_up()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_missing_printer_is_news_once_also_while_a_print_waits_for_it(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(connection_module, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(connection_module, "BACKOFF_IN_USE_S", 0.01)
    attempts: list[bool] = []
    connector = Connector(str(tmp_path / "gone"), 115200, profile())

    def in_use() -> bool:
        attempts.append(True)
        return True

    structlog.reset_defaults()
    with capture_logs() as entries:
        async with running(connector, in_use):
            await until(lambda: len(attempts) > 12)
    warnings = [entry for entry in entries if entry["event"] == "printer_not_connected"]
    assert len(warnings) == 1
    assert "gone" in warnings[0]["detail"]


async def test_what_was_learned_is_on_disk_and_the_port_is_let_go(tmp_path: Path) -> None:
    board, store, records = SimPrinter(), Store(), Records()
    memory = PrinterMemory(records)
    connector = Connector(link_to(board, tmp_path), 115200, profile(), kept=store.ports(), memory=memory)
    try:
        async with running(connector) as (connection, shown):
            await shown.wait_for(PrinterState.IDLE)
            await until(lambda: records.saves == 1)
            assert records.documents[0]["stop"]["parser"] == "proven"
            assert len(store.kept) == 1
            connection.disconnect()
            await until(lambda: not store.kept)
    finally:
        board.close()


async def test_a_daemon_that_ends_leaves_its_port_to_the_next_one(tmp_path: Path) -> None:
    board, store = SimPrinter(), Store()
    connector = Connector(link_to(board, tmp_path), 115200, profile(), kept=store.ports())
    try:
        async with running(connector) as (_, shown):
            await shown.wait_for(PrinterState.IDLE)
        assert len(store.kept) == 1
        assert store.removed == []
        store.remove(next(iter(store.kept)))
    finally:
        board.close()
