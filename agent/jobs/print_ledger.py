"""The durable record of prints: start, pauses, checkpoints, takeovers, ends. Every call is one transaction.

The half of the queue that the print stage writes to; `Queue` is the other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.domain.artefact import Prepared
from agent.domain.events import Stamp
from agent.domain.job import Job
from agent.domain.prints import PrintOutcome, PrintRecord, SalvagePlan
from agent.jobs import print_writes
from agent.jobs.changes import Changes
from agent.jobs.lookup import find_job, find_print
from agent.jobs.machine import JobEvent
from agent.storage import meta
from agent.storage import prints as print_rows
from agent.storage.clock import Clock
from agent.storage.database import Connection, Database

T = TypeVar("T")
_MOVED_AFTER = "moved_after"


@dataclass(frozen=True, slots=True)
class Running:
    """A print that is not over, with its job."""

    record: PrintRecord
    job: Job


class PrintLedger:
    """Prints on disk; event loop only. What a call returned is on disk. Any call can raise StorageError."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        rng: random.Random | None = None,
        seal: print_writes.Seal | None = None,
    ) -> None:
        """`seal` signs receipts."""
        self._database = database
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._seal = seal
        self._changes = Changes()

    @property
    def version(self) -> int:
        """The number of changes since the start; see `wait_changed`."""
        return self._changes.version

    async def wait_changed(self, since: int) -> int:
        """Return the version as soon as it is above `since`."""
        return await self._changes.wait(since)

    async def start_print(
        self, job_id: str, prepared: Prepared, port_id: str, file_stamp: str = ""
    ) -> PrintRecord:
        """Consume the cleared bed and put a new print on record, before its first line is sent.

        Raises RefusedError `bed_occupied` or `wrong_state`.
        """
        return await self._write(
            lambda connection, stamp: print_writes.start(
                connection,
                stamp,
                find_job(connection, job_id),
                prepared,
                port_id=port_id,
                file_stamp=file_stamp,
                rng=self._rng,
            )
        )

    async def start_salvage(
        self,
        job_id: str,
        prepared: Prepared,
        plan: SalvagePlan,
        *,
        checkpoint: str,
        port_id: str,
        file_stamp: str = "",
    ) -> PrintRecord:
        """Put a print on record that begins in the middle, with its first checkpoint.

        Raises RefusedError `part_gone` or `wrong_state`.
        """
        return await self._write(
            lambda connection, stamp: print_writes.start_salvage(
                connection,
                stamp,
                find_job(connection, job_id),
                prepared,
                plan,
                checkpoint=checkpoint,
                port_id=port_id,
                file_stamp=file_stamp,
                rng=self._rng,
            )
        )

    async def note_moved(self) -> None:
        """A person is about to move the machine: whatever print was last on it, its nozzle stands there no longer."""

        def write(connection: Connection, _: Stamp) -> None:
            newest = print_rows.newest(connection, 1)
            if (
                newest
                and newest[0].state.is_over
                and meta.get(connection, _MOVED_AFTER) != newest[0].print_id
            ):
                meta.put(connection, _MOVED_AFTER, newest[0].print_id)

        await self._write(write)

    async def is_moved(self, print_id: str) -> bool:
        """Whether `note_moved` was called after this print."""
        return await self._database.read(lambda connection: meta.get(connection, _MOVED_AFTER) == print_id)

    async def record_pause(self, print_id: str, event: JobEvent) -> PrintRecord:
        """Put a pause or a resume of a print on record (`Trigger.PAUSED`, `Trigger.RESUMED`)."""
        return await self._write(
            lambda connection, stamp: print_writes.pause(
                connection, stamp, find_print(connection, print_id), event
            )
        )

    async def save_checkpoint(self, print_id: str, snapshot: str | None) -> None:
        """Keep where a print stands, in the words of the printer side; None forgets it."""
        await self._write(
            lambda connection, _: print_rows.update(
                connection, replace(find_print(connection, print_id), pause_snapshot=snapshot)
            )
        )

    async def record_takeover(self, print_id: str, gap: Mapping[str, object]) -> None:
        """Note that a print was found again after a gap."""
        await self._write(
            lambda connection, stamp: print_writes.taken_over(
                connection, stamp, find_print(connection, print_id), gap
            )
        )

    async def finish_print(
        self,
        print_id: str,
        outcome: PrintOutcome,
        *,
        is_ejected: bool = False,
        spending: print_writes.Spending | None = None,
    ) -> Job:
        """Put the end of a print on record; the bed stays occupied unless a completed part was ejected.

        `spending` tells what it took from the spools, which are counted down with it. Raises RefusedError
        `print_over` when it already ended.
        """

        def write(connection: Connection, stamp: Stamp) -> Job:
            record = find_print(connection, print_id)
            return print_writes.finish(
                connection,
                stamp,
                record,
                outcome,
                is_ejected=is_ejected,
                seal=self._seal,
                spending=spending,
            )

        return await self._write(write)

    async def running(self) -> Running | None:
        """Return the print that is not over; at start it is the one to take over (P2)."""

        def read(connection: Connection) -> Running | None:
            record = print_rows.running(connection)
            return None if record is None else Running(record, find_job(connection, record.job_id))

        return await self._database.read(read)

    async def prints(self, *, limit: int = 50, job_id: str | None = None) -> tuple[PrintRecord, ...]:
        """List prints, newest first."""
        return await self._database.read(
            lambda connection: print_rows.newest(
                connection, limit, find_job(connection, job_id).job_id if job_id else None
            )
        )

    async def get_print(self, print_id: str) -> PrintRecord:
        """Return one print."""
        return await self._database.read(lambda connection: find_print(connection, print_id))

    async def _write(self, fn: Callable[[Connection, Stamp], T]) -> T:
        commit = asyncio.ensure_future(
            self._database.run(lambda connection: fn(connection, self._clock.stamp()))
        )
        # In the callback, not after the await: a caller that is cancelled does not undo the commit.
        commit.add_done_callback(lambda _: self._changes.bump())
        return await asyncio.shield(commit)
