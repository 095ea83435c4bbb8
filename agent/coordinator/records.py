"""Rows of the outbox and of the telemetry database as the JSON texts of records. Pure; runs in the database threads."""

from __future__ import annotations

from agent.coordinator.documents import TELEMETRY, EventRecord
from agent.coordinator.messages import Loaded, Ready
from agent.domain.events import Event
from agent.storage.outbox import Waiting
from agent.storage.telemetry import BlocksWaiting, StoredBlock

EVENTS_STREAM = "up/events"
TELEMETRY_STREAM = "telemetry"


def loaded_events(after: int, waiting: Waiting) -> Loaded:
    """Return undelivered events ready to be sent."""
    records = [
        Ready(waiting.epoch, event.seq, event_record(event, waiting.omitted.get(event.seq)).to_json())
        for event in waiting.events
    ]
    return Loaded(EVENTS_STREAM, after, waiting.newest, records, {waiting.epoch: waiting.held_from})


def loaded_blocks(after: int, waiting: BlocksWaiting) -> Loaded:
    """Return undelivered telemetry blocks ready to be sent."""
    records = [Ready(stored.epoch, stored.seq, block_record(stored).to_json()) for stored in waiting.blocks]
    return Loaded(TELEMETRY_STREAM, after, waiting.newest, records, waiting.held_from)


def event_record(event: Event, omitted: str | None = None) -> EventRecord:
    """Return the record of an event; with `omitted` only what names it and the reason."""
    return EventRecord(
        epoch=event.epoch,
        seq=event.seq,
        type=event.type.value,
        job=event.job_id,
        rev=event.rev,
        print=event.print_id,
        state=event.state,
        reason=event.reason,
        detail=event.detail if omitted is None else "",
        t=max(event.t_ms, 0),
        mono=event.mono_ms,
        boot=event.boot,
        clk=event.clk.value,
        data=event.data if omitted is None else {},
        omitted=omitted,
    )


def block_record(stored: StoredBlock) -> EventRecord:
    """Return the record of a telemetry block: `ch` has [least, mean, greatest, samples] per channel."""
    block = stored.block
    channels = {
        name: [round(span.least, 2), round(span.mean, 2), round(span.greatest, 2), span.n]
        for name, span in block.channels.items()
    }
    clk = "unsync" if stored.clk == "unsync" else "stepped" if stored.clk == "stepped" else "sync"
    return EventRecord(
        epoch=stored.epoch,
        seq=stored.seq,
        type=TELEMETRY,
        job=block.last.get("job"),
        print=block.last.get("print"),
        state=block.last.get("state"),
        t=max(block.t_ms, 0),
        mono=block.mono_ms,
        boot=stored.boot,
        clk=clk,  # type: ignore[arg-type]
        data={"span_s": round(block.span_s, 1), "ch": channels},
        covers=stored.covers,
    )
