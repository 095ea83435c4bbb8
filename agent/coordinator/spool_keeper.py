"""What is loaded and how much of it is left: declared in the configuration, counted down by prints, told to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import takewhile
from typing import Any

from agent.coordinator.documents import MaterialPart
from agent.coordinator_settings import MaterialSettings
from agent.domain.artefact import Finding, Prepared, Severity
from agent.domain.errors import ArtefactError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.job import Job
from agent.domain.spool import Need, Spool, g_per_mm, promised, weighed
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

    async def parts(self, *, besides: str) -> tuple[MaterialPart, ...]:
        """Return what is loaded now, and what of it is promised to the jobs in the queue but this one."""
        return await self._database.read(lambda connection: material_parts(connection, besides))

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
        """Return the file with a warning where its job needs more than is left after the jobs ahead of it.

        Raises ArtefactError `filament_short` instead where the owner wants such jobs refused.
        """
        spools, needs = await self._database.read(_stock)
        copies = max(1, job.copies - job.copies_done)
        left_g = {spool.slot: spool.left_g for spool in spools}
        ahead_g = promised(_ahead(needs, job.job_id), spools)
        missing = [
            f"about {need_g * copies:.3g} g of {slot} are needed, {there_g:.3g} g are left"
            + _told_ahead(taken_g)
            for slot, need_g in weighed(filament_mm(prepared), spools).items()
            if (there_g := left_g[slot]) is not None
            and need_g * copies > there_g - (taken_g := ahead_g.get(slot, 0.0))
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


def material_parts(connection: Connection, besides: str | None = None) -> tuple[MaterialPart, ...]:
    """Return the spools as they stand in the unit's description; `besides`: a job that is not counted."""
    spools, needs = _stock(connection)
    grams = promised([need for need in needs if need.job_id != besides], spools)
    return tuple(
        MaterialPart(
            slot=spool.slot,
            material=spool.material,
            color=spool.color,
            brand=spool.brand,
            left_g=None if spool.left_g is None else round(spool.left_g, 1),
            promised_g=round(grams.get(spool.slot, 0.0), 1),
        )
        for spool in spools
    )


def _stock(connection: Connection) -> tuple[tuple[Spool, ...], tuple[Need, ...]]:
    return spool_rows.loaded(connection), spool_rows.needs(connection)


def _ahead(needs: Sequence[Need], job_id: str) -> list[Need]:
    """Return what the jobs before this one need; all of them where it is not in the queue."""
    return list(takewhile(lambda need: need.job_id != job_id, needs))


def _told_ahead(grams: float) -> str:
    return f" and the jobs ahead take {grams:.3g} g of them" if grams else ""


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
