"""`/v1/printer`, `/v1/print`, `/v1/prompt`, `/v1/bed`: what people do with the printer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.control.answers import answer
from agent.control.body import ConnectBody, HeatBody, HomeBody, PromptBody, read_json
from agent.control.documents import printer_document
from agent.domain.job import Reason
from agent.domain.printer import PrinterState
from agent.http.application import Route

if TYPE_CHECKING:
    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade
    from agent.http.request import Request
    from agent.http.response import Response

CHANGE_S = 1.0
"""A wish reaches the print within milliseconds; what has not changed by then waits for the printer."""
CONNECT_S = 90.0
"""The longest search for a board that answers: six baud rates with a greeting of some seconds each."""
POLL_S = 0.01


class PrinterRoutes:
    """Turns requests into calls on the printer service; each answers the printer's state after it."""

    def __init__(self, unit: UnitFacade, slots: StreamSlots) -> None:
        self._unit = unit
        self._slots = slots
        # Only after a port was named: naming one makes the printer side forget what it knows of the present one.
        self._is_elsewhere = False

    def routes(self) -> list[Route]:
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
            Route("/v1/printer/test-stop", self.try_stop, methods=["POST"]),
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
        before = self._seen()
        await self._unit.printer.pause()
        return await self._changed(before)

    async def resume(self, _request: Request) -> Response:
        """Go on with the paused print."""
        before = self._seen()
        await self._unit.printer.resume()
        return await self._changed(before)

    async def cancel(self, _request: Request) -> Response:
        """End the running print; on record first, so that it stays cancelled if the daemon dies now."""
        before = self._seen()
        jobs = await self._unit.queue.list(include_over=False)
        running = next((job for job in jobs if job.state.is_active), None)
        if running is not None:
            await self._unit.queue.cancel(running.job_id)
        else:
            await self._unit.printer.cancel(Reason.USER)
        return await self._changed(before)

    async def prompt(self, request: Request) -> Response:
        """Answer the firmware's question."""
        await self._unit.printer.answer_prompt((await read_json(request, PromptBody)).choice)
        return self._state()

    async def clear_bed(self, _request: Request) -> Response:
        """Record that a person cleared the bed."""
        return answer({"bed": await self._unit.queue.clear_bed()})

    async def info(self, _request: Request) -> Response:
        """Answer the whole view of the printer, and what was learned about it."""
        document = printer_document(self._unit.printer.snapshot())
        return answer({**document, "learned": self._unit.learned()})

    async def connect(self, request: Request) -> Response:
        """Open the port and answer when it is known who is there, or that nobody is."""
        port = (await read_json(request, ConnectBody)).port
        view = self._unit.printer.snapshot()
        if port is not None and view.state is PrinterState.IDLE and port != view.port:
            await self._unit.printer.disconnect()
            await self._changed(view.state)
        if port is None and self._is_elsewhere:
            await self._unit.printer.connect(self._unit.configured_port)
        else:
            await self._unit.printer.connect(port)
        self._is_elsewhere = port is not None
        return await self._connected()

    async def disconnect(self, _request: Request) -> Response:
        """Close the port."""
        before = self._seen()
        await self._unit.printer.disconnect()
        return await self._changed(before)

    async def try_stop(self, _request: Request) -> Response:
        """Connect anew and test the stop path on the way; refused while printing."""
        before = self._seen()
        await self._unit.printer.disconnect()
        await self._changed(before)
        self._unit.want_stop_test()
        await self._unit.printer.connect(None)
        state = await self._settled()
        detail = self._unit.printer.snapshot().detail
        return answer({"state": str(state), "detail": detail, "learned": self._unit.learned()})

    async def home(self, request: Request) -> Response:
        """Home axes."""
        axes = (await read_json(request, HomeBody)).axes
        await self._unit.note_moved()
        await self._unit.printer.home(axes)
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

    def _seen(self) -> PrinterState:
        return self._unit.printer.snapshot().state

    async def _changed(self, before: PrinterState) -> Response:
        """Answer the new state as soon as there is one."""
        for _ in range(round(CHANGE_S / POLL_S)):
            if self._seen() is not before:
                break
            await asyncio.sleep(POLL_S)
        return self._state()

    async def _connected(self) -> Response:
        await self._settled()
        return self._state()

    async def _settled(self) -> PrinterState:
        """Wait for the end of the attempt; `connecting` when it still goes on after `CONNECT_S`."""
        loop = asyncio.get_running_loop()
        # An attempt on a missing port may begin and end between two looks.
        begun, deadline = loop.time() + CHANGE_S, loop.time() + CONNECT_S
        has_begun = False
        while (now := loop.time()) < deadline:
            state = self._seen()
            has_begun = has_begun or state is PrinterState.CONNECTING or now > begun
            is_settled = state in (PrinterState.OFFLINE, PrinterState.HALTED)
            if state is not PrinterState.CONNECTING and (has_begun or not is_settled):
                break
            if await self._slots.closed_within(POLL_S):  # the daemon stops
                break
        return self._seen()

    def _state(self) -> Response:
        snapshot = self._unit.printer.snapshot()
        return answer({"state": str(snapshot.state), "detail": snapshot.detail})
