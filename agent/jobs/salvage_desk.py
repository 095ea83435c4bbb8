"""Salvage as a person asks for it: what is proposed, whether it is still possible, and the plan that comes of it."""

from __future__ import annotations

import json
from typing import Any

from agent.domain.artefact import Layer
from agent.domain.errors import NotFoundError, RefusedError, UsageError
from agent.domain.job import Job, JobState
from agent.domain.prints import Bed, PrintRecord, SalvagePlan
from agent.jobs.queue import Queue

_RETRY = "print it again: `fabunit job retry {job}`"


async def proposal_for(queue: Queue, job_id: str) -> tuple[Job, PrintRecord, dict[str, Any]]:
    """Return the job, the attempt that failed last, and how it could go on.

    Raises NotFoundError `no_salvage` when nothing was proposed: the board was not reset.
    """
    job = await queue.get(job_id)
    prints = await queue.prints(limit=1, job_id=job.job_id)
    found = json.loads(prints[0].receipt or "{}").get("salvage") if prints else None
    if job.state is not JobState.FAILED or not isinstance(found, dict):
        raise NotFoundError(
            f"job {job.job_id} is {job.state.value}: there is nothing to salvage",
            code="no_salvage",
            remedy="only a print whose board was reset in the middle can go on where it stopped",
        )
    return job, prints[0], found


async def demand_part(queue: Queue, job: Job, failed: PrintRecord, profile_digest: str) -> None:
    """Raise RefusedError unless the part still lies there as it was left, for a printer that is still the same."""
    newest = await queue.prints(limit=1)
    if await queue.bed() is not Bed.OCCUPIED or newest[0].print_id != failed.print_id:
        raise RefusedError(
            "the part is not on the bed any more", code="part_gone", remedy=_RETRY.format(job=job.job_id)
        )
    if await queue.is_moved(failed.print_id):
        raise RefusedError(
            "the machine was moved since: nobody knows how high the nozzle stands",
            code="head_moved",
            remedy=_RETRY.format(job=job.job_id),
        )
    if job.profile_digest != profile_digest:
        raise RefusedError(
            "the printer profile has changed since",
            code="profile_changed",
            remedy=_RETRY.format(job=job.job_id),
        )


def plan_for(
    job: Job, failed: PrintRecord, proposal: dict[str, Any], layers: tuple[Layer, ...], layer: int | None
) -> SalvagePlan:
    """Return where to go on; `layer` is what a person has seen, counted from 1.

    Raises RefusedError `not_salvageable` or `salvage_uncertain`, UsageError `bad_layer`.
    """
    if not proposal["possible"]:
        raise RefusedError(
            f"it cannot be salvaged: {proposal['obstacle']}",
            code="not_salvageable",
            remedy=_RETRY.format(job=job.job_id),
        )
    if layer is None and not proposal["certain"]:
        named = ", ".join(f"{one['layer']} ({one['height_mm']:g} mm)" for one in proposal["candidates"])
        raise RefusedError(
            f"it is not certain in which layer the nozzle stands: {named}",
            code="salvage_uncertain",
            remedy="measure how high the nozzle stands above the bed and name the layer: --layer N",
        )
    if layer is None or layer == proposal["layer"]:
        return SalvagePlan(failed.print_id, int(proposal["start_line"]) - 1, float(proposal["height_mm"]))
    if not 1 <= layer <= len(layers):
        raise UsageError(f"the file has layers 1 to {len(layers)}, not {layer}", code="bad_layer")
    return SalvagePlan(failed.print_id, layers[layer - 1].line - 1, layers[layer - 1].z_mm)
