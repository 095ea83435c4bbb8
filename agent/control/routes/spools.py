"""`/v1/spools`: what is loaded and how much of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.control.answers import answer
from agent.control.body import RefillBody, read_json
from agent.http.application import Route

if TYPE_CHECKING:
    from agent.control.unit import UnitFacade
    from agent.http.request import Request
    from agent.http.response import Response


class SpoolRoutes:
    """Turns requests into calls on the unit's spools."""

    def __init__(self, unit: UnitFacade) -> None:
        self._unit = unit

    def routes(self) -> list[Route]:
        """List the paths."""
        return [
            Route("/v1/spools", self.spools, methods=["GET"]),
            Route("/v1/spools", self.refill, methods=["POST"]),
        ]

    async def spools(self, _request: Request) -> Response:
        """List the slots."""
        return answer({"spools": list(await self._unit.spools())})

    async def refill(self, request: Request) -> Response:
        """Take a person's word for how much is in a slot."""
        body = await read_json(request, RefillBody)
        return answer(await self._unit.refill(body.slot, body.left_g))
