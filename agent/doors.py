"""The ways in over TCP that the configuration opens; what they need is imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.control.door import Door

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade
    from agent.control.web.app import Gate
    from agent.http.application import Application
    from agent.settings import Settings


def open_doors(settings: Settings, unit: UnitFacade) -> list[Door]:
    """Return a door per address the configuration names; they open when they run."""
    doors = []
    key_file = settings.http.api_key_file
    if settings.http.is_on and key_file is not None:

        def build_web(slots: StreamSlots) -> Gate:
            from agent.control.web.app import build  # noqa: PLC0415 - only where it is on

            return build(unit, key_file, slots)

        doors.append(Door("http", settings.http.address, build_web))
    if settings.metrics.address is not None:

        def build_metrics(_slots: StreamSlots) -> Application:
            from agent.control.routes.metrics import build  # noqa: PLC0415 - only where it is on

            return build(unit)

        doors.append(Door("metrics", settings.metrics.address, build_metrics))
    return doors


def metrics_writer(settings: Settings) -> Callable[[Mapping[str, Any]], bytes] | None:
    """Return what writes a status document as figures, None where they are off."""
    if not settings.metrics.is_on:
        return None

    def write(status: Mapping[str, Any]) -> bytes:
        from agent.ops.metrics import render  # noqa: PLC0415 - at the first scrape

        return render(status)

    return write
