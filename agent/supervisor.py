"""Long-running parts of the daemon: side services are restarted, a critical one that ends takes the process with it.

A failure of a side service never touches a print. A critical one cannot be repaired in place; the init system
starts the process again, and the print goes on where the firmware stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

RESTART_FIRST_S = 0.5
RESTART_MOST_S = 60.0
CALM_S = 300.0
"""A service that ran this long has recovered: its next failure begins with the short delay again."""

_log = structlog.get_logger("supervisor")


@dataclass(frozen=True, slots=True)
class Service:
    """A part with a name; `run` returns only when it is cancelled or has failed."""

    name: str
    run: Callable[[], Awaitable[None]]
    critical: bool


async def supervise(services: list[Service]) -> None:
    """Run all services until cancelled. Raises what a critical service raises (in an ExceptionGroup)."""
    async with asyncio.TaskGroup() as tasks:
        for service in services:
            runner = service.run() if service.critical else _keep_running(service)
            tasks.create_task(_named(runner), name=service.name)


async def _named(runner: Awaitable[None]) -> None:
    await runner


async def _keep_running(service: Service) -> None:
    delay_s = RESTART_FIRST_S
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await service.run()
            _log.warning("service_ended", service=service.name)
        except Exception:  # noqa: BLE001 - the top of a side service: its failure must be seen and must stay its own
            _log.exception("service_failed", service=service.name)
        if loop.time() - began > CALM_S:
            delay_s = RESTART_FIRST_S
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, RESTART_MOST_S)
