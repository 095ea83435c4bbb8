"""What becomes of one order: the decisions of the inbox, inside its transaction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.coordinator.documents import JobDocument
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.job import Job, Reason
from agent.jobs import orders, placement, print_writes
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.storage import events as event_rows
from agent.storage import inbox as inbox_rows
from agent.storage import jobs as job_rows
from agent.storage.artefacts import StoredArtefact
from agent.storage.database import Connection
from agent.storage.inbox import Entry, Verdict
from agent.storage.names import display_name

SOURCE = "coordinator"
ANY_REV = 2**31 - 1
"""The revision of a cancellation that names none: it stands for all of them."""
KEPT_FINISHED = 1_000
"""As many finished jobs as the queue keeps (`QueueLimits.kept_finished`)."""


class Fate(StrEnum):
    """What `known` found."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONTENT_DIFFERS = "content_differs"
    STALE_REV = "stale_rev"
    ID_TAKEN = "id_taken"
    JOB_PRINTING = "job_printing"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an order stands: its fate at arrival, and the state of the job by that id, where there is one."""

    fate: Fate
    state: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """How a new job begins: at once, held with a reason, or refused with one."""

    trigger: Trigger = Trigger.FETCH_BEGAN
    reason: Reason | None = None
    detail: str = ""


def content_digest(document: JobDocument) -> str:
    """Return the SHA-256 of what is ordered; when it was sent, and the order of fields, do not change an order."""
    content = document.model_dump(mode="json", exclude={"sent"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def known(connection: Connection, document: JobDocument, digest: str) -> Standing:
    """Compare an order with what is on record."""
    job = job_rows.get(connection, document.job_id)
    newest = inbox_rows.newest(connection, document.job_id)
    state = None if job is None else job.state.value
    if newest is None:
        return Standing(Fate.NEW) if job is None else Standing(Fate.ID_TAKEN, state)
    if newest.verdict is Verdict.CANCELLED and newest.rev >= document.rev:
        return Standing(Fate.DUPLICATE, "cancelled", newest.detail)
    same = inbox_rows.get(connection, document.job_id, document.rev)
    if same is not None and same.digest != digest:
        return Standing(Fate.CONTENT_DIFFERS, state)
    if newest.rev > document.rev:
        return Standing(Fate.STALE_REV, state)
    if same is not None:
        # The job's row may have left the history long ago; the entry has not.
        return Standing(Fate.DUPLICATE, state or same.verdict.value, same.detail)
    if job is not None and job.state.is_active:
        return Standing(Fate.JOB_PRINTING, state)
    return Standing(Fate.NEW, state)


def enter(connection: Connection, stamp: Stamp, document: JobDocument, entry: Entry, start: Start) -> Job:
    """Write a new order, or a new revision of one that is not on the printer, and begin it."""
    earlier = job_rows.get(connection, document.job_id)
    job = _new_job(connection, document, stamp)
    inbox_rows.replace_older(connection, document.job_id, document.rev)
    inbox_rows.insert(connection, entry)
    if earlier is None:
        job_rows.insert(connection, job)
        job_rows.forget_finished(connection, KEPT_FINISHED)
    else:
        job = replace(job, position=earlier.position if not earlier.state.is_terminal else job.position)
        job_rows.update(connection, job)
    event_rows.append(connection, orders.received(job), stamp)
    if start.trigger is Trigger.HELD:
        job = print_writes.apply(connection, stamp, job, JobEvent(Trigger.FETCH_BEGAN))
    return print_writes.apply(connection, stamp, job, JobEvent(start.trigger, start.reason, start.detail))


def bury(connection: Connection, stamp: Stamp, job_id: str, rev: int | None, boot: str) -> None:
    """Leave a tombstone for an order that did not come yet: it is cancelled when it comes."""
    rev = rev or ANY_REV
    if inbox_rows.get(connection, job_id, rev) is not None:
        return
    detail = "cancelled before it came"
    inbox_rows.insert(connection, Entry(job_id, rev, None, Verdict.CANCELLED, detail, boot=boot))
    draft = EventDraft(
        EventType.JOB,
        detail,
        job_id,
        None if rev == ANY_REV else rev,
        state="cancelled",
        reason=Reason.COORDINATOR,
        data={"event": "cancelled_early"},
    )
    event_rows.append(connection, draft, stamp)


def _new_job(connection: Connection, document: JobDocument, stamp: Stamp) -> Job:
    artefact = document.artefact
    stored = StoredArtefact(
        artefact.sha256, artefact.size, artefact.format, display_name(artefact.name or document.job_id)
    )
    options = OrderOptions(
        copies=document.copies,
        material=document.material,
        quality=document.quality,
        priority=document.priority,
        source=SOURCE,
    )
    position = placement.next_position(job_rows.last_position(connection))
    return replace(orders.new_job(document.job_id, stored, options, position, stamp.t_ms), rev=document.rev)
