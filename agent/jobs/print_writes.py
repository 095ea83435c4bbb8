"""The transactions around a print: start, pause, end, and the bed latch between them.

Functions run inside the caller's transaction; job row, print row, latch and events change together or not at
all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from agent.domain.artefact import Prepared
from agent.domain.errors import NotFoundError, RefusedError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.job import Job, Reason
from agent.domain.prints import Bed, OutcomeState, PrintOutcome, PrintRecord, PrintState, SalvagePlan
from agent.jobs import machine
from agent.jobs.ids import PRINT_PREFIX, new_id
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.receipt import SALVAGED, TAKEN_OVER, begun_behind, receipt
from agent.storage import events as event_rows
from agent.storage import jobs as job_rows
from agent.storage import meshes as mesh_rows
from agent.storage import meta, spools
from agent.storage import prints as print_rows
from agent.storage.database import Connection

# Far from 0, where a reset board starts to count, and with room for prints of 100 million lines in 31 bits.
BASE_MIN = 10_000
BASE_MAX = 60_000

_ENDS = {
    OutcomeState.COMPLETED: PrintState.COMPLETED,
    OutcomeState.FAILED: PrintState.FAILED,
    OutcomeState.CANCELLED: PrintState.CANCELLED,
}


def apply(connection: Connection, stamp: Stamp, job: Job, event: JobEvent) -> Job:
    """Advance the job and write its row and its events. Raises RefusedError `wrong_state`."""
    advanced = machine.advance(job, event, stamp.t_ms)
    job_rows.update(connection, advanced.job)
    for record in advanced.records:
        event_rows.append(connection, record, stamp)
    return advanced.job


def start(
    connection: Connection,
    stamp: Stamp,
    job: Job,
    prepared: Prepared,
    *,
    port_id: str,
    file_stamp: str,
    rng: random.Random,
) -> PrintRecord:
    """Consume the bed latch and write a new print. Raises RefusedError `bed_occupied`, `wrong_state`."""
    if meta.bed(connection) is not Bed.CLEAR:
        raise RefusedError(
            "the bed is not clear",
            code="bed_occupied",
            remedy="take the part off and say so: `fabunit bed clear`",
        )
    record = _new_record(connection, stamp, job, prepared, port_id=port_id, file_stamp=file_stamp, rng=rng)
    apply(connection, stamp, job, JobEvent(Trigger.PRINT_STARTED, print_id=record.print_id))
    print_rows.insert(connection, record)
    _tell(connection, stamp, record, {"copy": record.copy, "lines": record.lines})
    set_bed(
        connection, stamp, Bed.OCCUPIED, detail=f"print {record.print_id} started", print_id=record.print_id
    )
    return record


def start_salvage(
    connection: Connection,
    stamp: Stamp,
    job: Job,
    prepared: Prepared,
    plan: SalvagePlan,
    *,
    checkpoint: str,
    port_id: str,
    file_stamp: str,
    rng: random.Random,
) -> PrintRecord:
    """Write a print that begins in the middle, on the part that lies there.

    Its `checkpoint` is there from the first instant: a daemon that finds it must never begin with line 1.
    Raises RefusedError `part_gone` when the bed was cleared or another print was there since, `wrong_state`.
    """
    newest = print_rows.newest(connection, 1)
    if meta.bed(connection) is not Bed.OCCUPIED or not newest or newest[0].print_id != plan.of_print:
        raise RefusedError(
            "the part is not on the bed any more",
            code="part_gone",
            remedy=f"print it again: `fabunit job retry {job.job_id}`",
        )
    record = _new_record(connection, stamp, job, prepared, port_id=port_id, file_stamp=file_stamp, rng=rng)
    record = replace(record, pause_snapshot=checkpoint)
    apply(connection, stamp, job, JobEvent(Trigger.SALVAGED, print_id=record.print_id))
    print_rows.insert(connection, record)
    _tell(connection, stamp, record, {"copy": record.copy, "lines": record.lines})
    begun = {
        "event": SALVAGED,
        "from_line": plan.line,
        "height_mm": plan.height_mm,
        "of_print": plan.of_print,
    }
    _tell(connection, stamp, record, begun)
    return record


def _new_record(
    connection: Connection,
    stamp: Stamp,
    job: Job,
    prepared: Prepared,
    *,
    port_id: str,
    file_stamp: str,
    rng: random.Random,
) -> PrintRecord:
    if job.prepared_sha256 != prepared.sha256:
        raise RefusedError(f"job {job.job_id} was not checked with these bytes", code="wrong_state")
    return PrintRecord(
        print_id=new_id(PRINT_PREFIX, rng, lambda taken: print_rows.get(connection, taken) is not None),
        job_id=job.job_id,
        copy=job.copies_done + 1,
        state=PrintState.PRINTING,
        prepared_sha256=prepared.sha256,
        lines=prepared.lines,
        base=rng.randrange(BASE_MIN, BASE_MAX),
        port_id=port_id,
        reason=None,
        detail="",
        started_ms=stamp.t_ms,
        ended_ms=None,
        file_stamp=file_stamp,
    )


def pause(connection: Connection, stamp: Stamp, record: PrintRecord, event: JobEvent) -> PrintRecord:
    """Write a pause or a resume (`event.trigger`); one that is already on record changes nothing."""
    state = PrintState.PAUSED if event.trigger is Trigger.PAUSED else PrintState.PRINTING
    if record.state is state:
        return record
    job = _job_of(connection, record)
    apply(connection, stamp, job, replace(event, print_id=record.print_id))
    changed = replace(record, state=state, reason=event.reason, detail=event.detail)
    print_rows.update(connection, changed)
    _tell(connection, stamp, changed, {})
    return changed


def taken_over(connection: Connection, stamp: Stamp, record: PrintRecord, gap: Mapping[str, object]) -> None:
    """Note that a print was found again after a gap; `gap` goes into the event and, at the end, into the receipt."""
    _tell(connection, stamp, record, {"event": TAKEN_OVER, **gap})


def request_cancel(connection: Connection, stamp: Stamp, record: PrintRecord, reason: Reason) -> PrintRecord:
    """Note that somebody wants the running print to end; whoever drives the printer ends it."""
    if record.cancel_reason is not None:
        return record
    changed = replace(record, cancel_reason=reason)
    print_rows.update(connection, changed)
    told = replace(changed, reason=reason, detail="cancel requested")
    _tell(connection, stamp, told, {"event": "cancel_requested"})
    return changed


Seal = Callable[[bytes], Mapping[str, str]]
# Returns the filament of a print in mm by tool, given the line behind which it began.
Spending = Callable[[int], Mapping[str, float]]


def finish(
    connection: Connection,
    stamp: Stamp,
    record: PrintRecord,
    outcome: PrintOutcome,
    *,
    is_ejected: bool,
    seal: Seal | None = None,
    spending: Spending | None = None,
) -> Job:
    """Write the end of a print: its row with the receipt, the job's new state, the bed if it was ejected, the spools.

    `seal` signs the bytes of the receipt. Raises RefusedError `print_over` when it already ended.
    """
    if record.state.is_over:
        raise RefusedError(f"print {record.print_id} is over: {record.state.value}", code="print_over")
    job = _job_of(connection, record)
    ended = replace(
        record, state=_ENDS[outcome.state], reason=outcome.reason, detail=outcome.detail, ended_ms=stamp.t_ms
    )
    print_rows.update(connection, ended)
    mesh = mesh_rows.get(connection, job.job_id)
    sliced = mesh.sliced if mesh is not None and mesh.attempt == job.attempt else None
    events = event_rows.of_print(connection, record.print_id)
    filament_mm = spending(begun_behind(events)) if spending is not None else {}
    proof = receipt(job, ended, outcome, events, stamp, sliced=sliced, filament_mm=filament_mm)
    text = json.dumps(proof, sort_keys=True)
    sealed = json.dumps(dict(seal(text.encode("utf-8")))) if seal is not None else None
    print_rows.update(connection, replace(ended, receipt=text, receipt_seal=sealed))
    told: dict[str, object] = {"lines_acked": outcome.lines_acked, "duration_s": proof["duration_s"]}
    spent = [asdict(one) for one in spools.use(connection, filament_mm)]
    _tell(connection, stamp, ended, {**told, "spools": spent} if spent else told)
    trigger = {
        OutcomeState.COMPLETED: machine.completion(job),
        OutcomeState.FAILED: Trigger.FAILED,
        OutcomeState.CANCELLED: Trigger.CANCELLED,
    }[outcome.state]
    job = apply(connection, stamp, job, JobEvent(trigger, outcome.reason, outcome.detail, record.print_id))
    if is_ejected and outcome.state is OutcomeState.COMPLETED:
        set_bed(connection, stamp, Bed.CLEAR, detail="the part was ejected", print_id=record.print_id)
    return job


def set_bed(
    connection: Connection,
    stamp: Stamp,
    bed: Bed,
    *,
    detail: str,
    reason: Reason | None = None,
    print_id: str | None = None,
) -> None:
    """Write the latch and its event; a latch that already says so stays silent."""
    if meta.bed(connection) is bed:
        return
    meta.set_bed(connection, bed)
    event_rows.append(
        connection,
        EventDraft(
            type=EventType.BED,
            detail=detail,
            print_id=print_id,
            state=bed.value,
            reason=reason.value if reason else None,
        ),
        stamp,
    )


def _job_of(connection: Connection, record: PrintRecord) -> Job:
    job = job_rows.get(connection, record.job_id)
    if job is None:
        raise NotFoundError(f"print {record.print_id} has lost its job {record.job_id}")
    return job


def _tell(connection: Connection, stamp: Stamp, record: PrintRecord, data: dict[str, object]) -> None:
    event_rows.append(
        connection,
        EventDraft(
            type=EventType.PRINT,
            detail=record.detail,
            job_id=record.job_id,
            print_id=record.print_id,
            state=record.state.value,
            reason=record.reason.value if record.reason else None,
            data=data,
        ),
        stamp,
    )
