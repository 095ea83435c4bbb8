"""`/v1/printer`, `/v1/print`, `/v1/prompt`, `/v1/bed`: what people do with the printer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from agent.control.answers import answer
from agent.control.body import ConnectBody, HeatBody, HomeBody, PromptBody, read_json
from agent.control.documents import printer_document
from agent.domain.job import Reason

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from agent.control.unit import UnitFacade


class PrinterRoutes:
    """Turns requests into calls on the printer service; each answers the printer's state after it."""

    def __init__(self, unit: UnitFacade) -> None:
        self._unit = unit

    def routes(self) -> list[BaseRoute]:
        """List the paths."""
        return [
            Route("/v1/stop", self.stop, methods=["POST"]),
            Route("/v1/print/pause", self.pause, methods=["POST"]),
            Route("/v1/print/resume", self.resume, methods=["POST"]),
            Route("/v1/print/cancel", self.cancel, methods=["POST"]),
            Route("/v1/prompt", self.prompt, methods=["POST"]),
            Route("/v1/bed/clear", self.clear_bed, methods=["POST"]),
            Route("/v1/printer", self.info, methods=["GET"]),
            Route("/v1/printer/connect", self.connect, methods=["POST"]),
            Route("/v1/printer/disconnect", self.disconnect, methods=["POST"]),
            Route("/v1/printer/home", self.home, methods=["POST"]),
            Route("/v1/printer/heat", self.heat, methods=["POST"]),
            Route("/v1/printer/cool", self.cool, methods=["POST"]),
        ]

    async def stop(self, _request: Request) -> Response:
        """Stop now: no body is read and no database asked before the printer is told (P4)."""
        await self._unit.printer.stop()
        return self._state()

    async def pause(self, _request: Request) -> Response:
        """Pause the running print."""
        await self._unit.printer.pause()
        return self._state()

    async def resume(self, _request: Request) -> Response:
        """Go on with the paused print."""
        await self._unit.printer.resume()
        return self._state()

    async def cancel(self, _request: Request) -> Response:
        """End the running print; on record first, so that it stays cancelled if the daemon dies now."""
        jobs = await self._unit.queue.list(include_over=False)
        running = next((job for job in jobs if job.state.is_active), None)
        if running is not None:
            await self._unit.queue.cancel(running.job_id)
        else:
            await self._unit.printer.cancel(Reason.USER)
        return self._state()

    async def prompt(self, request: Request) -> Response:
        """Answer the firmware's question."""
        await self._unit.printer.answer_prompt((await read_json(request, PromptBody)).choice)
        return self._state()

    async def clear_bed(self, _request: Request) -> Response:
        """Record that a person cleared the bed."""
        return answer({"bed": await self._unit.queue.clear_bed()})

    async def info(self, _request: Request) -> Response:
        """Answer the whole view of the printer."""
        return answer(printer_document(self._unit.printer.snapshot()))

    async def connect(self, request: Request) -> Response:
        """Open the port."""
        await self._unit.printer.connect((await read_json(request, ConnectBody)).port)
        return self._state()

    async def disconnect(self, _request: Request) -> Response:
        """Close the port."""
        await self._unit.printer.disconnect()
        return self._state()

    async def home(self, request: Request) -> Response:
        """Home axes."""
        await self._unit.printer.home((await read_json(request, HomeBody)).axes)
        return self._state()

    async def heat(self, request: Request) -> Response:
        """Set one heater's target."""
        body = await read_json(request, HeatBody)
        await self._unit.printer.heat(body.heater, body.celsius)
        return self._state()

    async def cool(self, _request: Request) -> Response:
        """Turn all heaters off."""
        await self._unit.printer.cool()
        return self._state()

    def _state(self) -> Response:
        snapshot = self._unit.printer.snapshot()
        return answer({"state": str(snapshot.state), "detail": snapshot.detail})
