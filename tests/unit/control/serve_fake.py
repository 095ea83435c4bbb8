"""Serves a fake unit on a socket, for the tests that need a daemon in another process, and for looking at views.

Usage: python serve_fake.py SOCKET [prompt|idle|offline|plain]
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from agent.control.server import ControlServer
from agent.domain.printer import PrinterSnapshot, PrinterState
from tests.unit.control.fake_unit import FakeUnit, printing_unit, with_prompt


def build(kind: str) -> FakeUnit:
    """Choose the unit's situation."""
    unit = printing_unit()
    if kind == "prompt":
        return with_prompt(unit)
    if kind == "idle":
        unit.queue.jobs = unit.queue.jobs[1:]
        unit.printer.view = replace(unit.printer.view, state=PrinterState.IDLE, progress=None)
    if kind == "offline":
        unit.queue.jobs = []
        unit.printer.view = PrinterSnapshot(detail="no printer on any serial port")
    return unit


async def serve(path: Path, kind: str) -> None:
    """Serve until killed; say so on stdout when clients can connect."""
    server = ControlServer(build(kind).facade(), path)
    running = asyncio.create_task(server.run())
    await server.wait_listening()
    print("listening", flush=True)  # noqa: T201 - the parent waits for this line
    await running


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "plain"))
