"""The link's hand on the disk: undelivered events and telemetry blocks, and how far the coordinator has them."""

from __future__ import annotations

from collections.abc import Mapping

from agent.coordinator.documents import OutboxPart
from agent.coordinator.effects import Load
from agent.coordinator.messages import Loaded
from agent.coordinator.outgoing import Outgoing
from agent.coordinator.records import EVENTS_STREAM, TELEMETRY_STREAM, loaded_blocks, loaded_events
from agent.domain.errors import StorageError, UsageError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.telemetry import TelemetryBlock
from agent.jobs.queue import Queue
from agent.storage import events as event_rows
from agent.storage import meta, outbox
from agent.storage.database import Connection, Database
from agent.storage.telemetry import TelemetryStore

# Acknowledgements are kept in memory and written now and then: one that is lost costs a repetition, which the
# coordinator recognises; one commit each would cost the card half a megabyte an hour.
SAVE_EVERY_S = 60.0
SAVE_EVERY_RECORDS = 500


class Shelf:
    """Reads and marks what is to be delivered; event loop only. Calls raise StorageError."""

    def __init__(self, database: Database, queue: Queue, telemetry: TelemetryStore) -> None:
        self._database = database
        self._queue = queue
        self._telemetry = telemetry
        self.epoch = ""
        self._acked = 0
        self._saved = 0
        self._saved_s = 0.0
        self._omitted = 0

    async def open(self) -> None:
        """Begin to keep events for the coordinator, from now on if it never was linked before."""

        def join(connection: Connection) -> tuple[str, int, int]:
            return meta.epoch(connection), outbox.join(connection), outbox.count_omitted(connection)

        self.epoch, self._acked, self._omitted = await self._database.run(join)
        self._saved = self._acked
        await self._telemetry.open()

    async def close(self) -> None:
        """Write the last mark and close the telemetry."""
        await self.save_mark()
        await self._telemetry.close()

    def streams(self) -> tuple[Outgoing, Outgoing]:
        """Return both streams before anything was read."""
        return Outgoing(EVENTS_STREAM, acked=self._acked), Outgoing(TELEMETRY_STREAM)

    async def begin(self) -> tuple[Outgoing, Outgoing]:
        """Return both streams as they are on disk."""
        events, telemetry = self.streams()
        events.newest = await self.newest_event()
        floor = await self._telemetry.acknowledge("", 0)
        waiting = await self._telemetry.read(floor, 1)
        telemetry.acked = telemetry.cursor = floor
        telemetry.newest = waiting.newest
        return events, telemetry

    async def count_start(self) -> int:
        """Count one start of the link, durably."""
        return await self._database.run(outbox.count_connect)

    async def newest_event(self) -> int:
        """Return the number of the newest event."""
        return await self._database.read(event_rows.newest_seq)

    async def load(self, load: Load) -> Loaded:
        """Return the records a session asks for."""
        if load.stream == EVENTS_STREAM:
            return await self._database.read(
                lambda connection: loaded_events(
                    load.after, outbox.read(connection, load.after, load.limit, load.acked)
                )
            )
        return loaded_blocks(load.after, await self._telemetry.read(load.after, load.limit))

    async def append_block(self, block: TelemetryBlock, stamp: Stamp) -> int:
        """Write a telemetry block and return its number."""
        return await self._telemetry.append(block, stamp)

    async def omit(self, stream: str, seq: int, reason: str) -> None:
        """Have a record delivered as a number with a reason, and say so in a record of its own."""
        if stream != EVENTS_STREAM:
            await self._telemetry.omit(seq)
            return

        def write(connection: Connection, stamp: Stamp) -> None:
            if not outbox.omit(connection, seq, reason):
                return
            detail = f"record {seq} is delivered without its content: {reason}"
            draft = EventDraft(EventType.UNIT, detail, state="record_omitted", data={"seq": seq})
            event_rows.append(connection, draft, stamp)

        await self._queue.transact(write)
        self._omitted += 1

    def acknowledge_events(self, upto: int, newest: int) -> None:
        """Take the coordinator's word for events; raises UsageError for numbers that never were."""
        if upto > newest:
            raise UsageError(f"number {upto} was never given out, {newest} is the newest", code="ack_unknown")
        self._acked = max(self._acked, upto)

    async def acknowledge_blocks(self, epoch: str, upto: int) -> int:
        """Delete telemetry the coordinator has; returns the number everything up to which is gone."""
        return await self._telemetry.acknowledge(epoch, upto)

    def forget_above(self, to: int) -> None:
        """The coordinator lost what is behind `to`: it is not acknowledged any more."""
        self._acked = min(self._acked, to)

    async def tick(self, now_s: float) -> None:
        """Write the mark when it is worth it."""
        gained = self._acked - self._saved
        if gained >= SAVE_EVERY_RECORDS or (gained > 0 and now_s - self._saved_s >= SAVE_EVERY_S):
            self._saved_s = now_s
            await self.save_mark()

    async def save_mark(self) -> None:
        """Write how far the coordinator has the events."""
        if self._acked <= self._saved:
            return
        acked = self._acked
        try:
            await self._database.run(lambda connection: event_rows.acknowledge(connection, self.epoch, acked))
        except UsageError as error:
            raise StorageError(f"the outbox is not what it was: {error.message}") from error
        self._saved = acked

    def outbox(self, streams: Mapping[str, Outgoing]) -> OutboxPart:
        """Return how much waits."""
        return OutboxPart(
            events=streams[EVENTS_STREAM].backlog,
            telemetry=streams[TELEMETRY_STREAM].backlog,
            omitted=self._omitted,
        )
