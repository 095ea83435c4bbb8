"""What is loaded and how much of it is left: declared in the configuration, counted down by prints, told to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from agent.coordinator.documents import MaterialPart
from agent.coordinator_settings import MaterialSettings
from agent.domain.artefact import Finding, Prepared, Severity
from agent.domain.errors import ArtefactError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.job import Job
from agent.domain.spool import Spool, g_per_mm, weighed
from agent.jobs.filament import filament_mm
from agent.jobs.queue import Queue
from agent.storage import events as event_rows
from agent.storage import spools as spool_rows
from agent.storage.database import Connection, Database

SHORT = "filament_short"


class SpoolKeeper:
    """The unit's spools; event loop only. Any call can raise StorageError."""

    def __init__(
        self,
        queue: Queue,
        database: Database,
        declared: Sequence[MaterialSettings],
        *,
        is_short_refused: bool,
    ) -> None:
        self._queue = queue
        self._database = database
        self._declared = tuple(_spool(one) for one in declared)
        self._is_short_refused = is_short_refused

    async def open(self) -> None:
        """Compare what the configuration says with what is on record."""
        await self._database.run(lambda connection: spool_rows.declare(connection, self._declared))

    async def loaded(self) -> tuple[Spool, ...]:
        """Return what is loaded now."""
        return await self._database.read(spool_rows.loaded)

    async def document(self) -> list[dict[str, Any]]:
        """Return what is loaded as JSON values."""
        return [_told(spool) for spool in await self.loaded()]

    async def refill(self, slot: str, left_g: float) -> dict[str, Any]:
        """Take a person's word for how much is in a slot. Raises NotFoundError."""

        def write(connection: Connection, stamp: Stamp) -> Spool:
            spool = spool_rows.refill(connection, slot, left_g)
            detail = f"{slot}: {left_g:g} g, by a person's word"
            draft = EventDraft(EventType.UNIT, detail, state="spool_refilled", data=_told(spool))
            event_rows.append(connection, draft, stamp)
            return spool

        return _told(await self._queue.transact(write))

    async def compare(self, job: Job, prepared: Prepared) -> Prepared:
        """Return the file with a warning where its job needs more than is left.

        Raises ArtefactError `filament_short` instead where the owner wants such jobs refused.
        """
        spools = await self.loaded()
        copies = max(1, job.copies - job.copies_done)
        left_g = {spool.slot: spool.left_g for spool in spools}
        missing = [
            f"about {need_g * copies:.3g} g of {slot} are needed, {there_g:.3g} g are left"
            for slot, need_g in weighed(filament_mm(prepared), spools).items()
            if (there_g := left_g[slot]) is not None and need_g * copies > there_g
        ]
        if not missing:
            return prepared
        message = "; ".join(missing)
        remedy = "load a spool and say so: `fabunit printer refill SLOT GRAMS`"
        if self._is_short_refused:
            raise ArtefactError(
                message, code=SHORT, remedy=f"{remedy}, then `fabunit job retry {job.job_id}`"
            )
        return replace(
            prepared, findings=(Finding(SHORT, Severity.WARNING, 0, message, remedy), *prepared.findings)
        )


def material_part(spool: Spool) -> MaterialPart:
    """Return a spool as it stands in the unit's description."""
    return MaterialPart(
        slot=spool.slot,
        material=spool.material,
        color=spool.color,
        brand=spool.brand,
        left_g=None if spool.left_g is None else round(spool.left_g, 1),
    )


def _spool(declared: MaterialSettings) -> Spool:
    return Spool(
        declared.slot,
        declared.material,
        declared.color,
        declared.brand,
        declared.left_g,
        g_per_mm(declared.material, declared.density_g_cm3, declared.diameter_mm),
    )


def _told(spool: Spool) -> dict[str, Any]:
    return {name: value for name, value in asdict(spool).items() if name != "g_per_mm"}
