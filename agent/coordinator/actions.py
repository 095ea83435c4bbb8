"""What commands do: each is one call on the queue, the printer or the link, under the rules that hold for strangers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from agent.coordinator import command_args
from agent.coordinator.documents import Document
from agent.coordinator.inbox import Inbox
from agent.domain.errors import FabunitError, NotFoundError, RefusedError
from agent.domain.job import Job, JobState, Reason
from agent.domain.printer import PrinterSnapshot
from agent.jobs.placement import At
from agent.jobs.queue import Queue

Result = dict[str, Any] | None


class PrinterActions(Protocol):
    """The printer as a coordinator may command it; each raises RefusedError or PortError with the reason."""

    def snapshot(self) -> PrinterSnapshot:
        """Return the newest view; never blocks."""
        ...

    async def pause(self, reason: Reason | None = ..., detail: str = ...) -> None:
        """Pause the running print."""
        ...

    async def resume(self) -> None:
        """Go on with a paused print."""
        ...

    async def stop(self) -> None:
        """Emergency stop."""
        ...

    async def home(self, axes: str) -> None:
        """Home the axes."""
        ...

    async def heat(self, heater: str, celsius: float) -> None:
        """Set one target."""
        ...

    async def cool(self) -> None:
        """All heaters off."""
        ...

    async def command(self, line: str) -> list[str]:
        """One line of G-code under the safety rules."""
        ...


class LinkActions(Protocol):
    """What commands ask of the link itself."""

    def watch(self, seconds: float) -> float:
        """Open or renew the lease for live samples; returns the seconds granted."""
        ...

    def rebirth(self) -> None:
        """Send presence and description again."""
        ...

    def resend(self, epoch: str, after: int) -> int:
        """Send records behind a number again; returns the number they begin behind. Raises RefusedError."""
        ...

    async def configure(self, block_s: float | None, batch: int | None) -> dict[str, Any]:
        """Change, durably, how telemetry and records are sent; returns what holds now. Raises StorageError."""
        ...

    def identify(self) -> None:
        """Show the unit to whoever stands in front of several."""
        ...


class Actions:
    """Carries out commands by name; event loop only."""

    def __init__(
        self,
        queue: Queue,
        inbox: Inbox,
        printer: PrinterActions,
        link: LinkActions,
        start_job: Callable[[str], Awaitable[Job]],
    ) -> None:
        self._queue = queue
        self._inbox = inbox
        self._printer = printer
        self._link = link
        self._start_job = start_job
        self._by_name: dict[str, Callable[[Any], Awaitable[Result]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "cancel": self._cancel,
            "stop": self._stop,
            "hold": self._hold,
            "release": self._release,
            "retry": self._retry,
            "start": self._start,
            "move": self._move,
            "bed_clear": self._bed_clear,
            "identify": self._identify,
            "watch": self._watch,
            "rebirth": self._rebirth,
            "resend": self._resend,
            "configure": self._configure,
            "home": self._home,
            "heat": self._heat,
            "cool": self._cool,
        }

    def knows(self, command: str) -> bool:
        """Tell whether there is such a command."""
        return command in self._by_name

    async def run(self, command: str, args: Document) -> Result:
        """Carry out a command. Raises FabunitError with what kept it from being done."""
        return await self._by_name[command](args)

    async def demand(self, if_state: list[str] | None, if_job: str | None) -> None:
        """Raise RefusedError `precondition` when printer or job are not what the command assumes."""
        state = self._printer.snapshot().state.value
        if if_state is not None and state not in if_state:
            raise RefusedError(f"the printer is {state}, not {' or '.join(if_state)}", code="precondition")
        if if_job is not None:
            running = await self._queue.running()
            job_id = running.job.job_id if running else None
            if job_id != if_job:
                raise RefusedError(
                    f"on the printer is {job_id or 'no job'}, not {if_job}", code="precondition"
                )

    # The running print

    async def _pause(self, _args: Document) -> Result:
        await self._printer.pause(Reason.COORDINATOR, "paused by the coordinator")
        return None

    async def _resume(self, _args: Document) -> Result:
        running = await self._queue.running()
        if running is not None and running.record.reason not in (Reason.COORDINATOR, None):
            reason = running.record.reason.value if running.record.reason else ""
            raise RefusedError(
                f"the print was paused at the unit ({reason}): somebody may have a hand in the printer",
                code="paused_here",
                remedy="resume it at the unit: `fabunit resume`",
            )
        await self._printer.resume()
        return None

    async def _stop(self, _args: Document) -> Result:
        await self._printer.stop()
        return None

    async def _cancel(self, args: command_args.CancelArgs) -> Result:
        job_id = args.job_id
        if job_id is None:
            running = await self._queue.running()
            if running is None:
                raise RefusedError("nothing is being printed", code="not_printing")
            return _told(await self._queue.cancel(running.job.job_id, Reason.COORDINATOR))
        job = await self._inbox.cancel(job_id, args.rev)
        return {"tombstone": True} if job is None else _told(job)

    # The queue

    async def _hold(self, args: command_args.JobArgs) -> Result:
        job = await self._exact(args.job_id)
        return _told(await self._queue.hold(job.job_id, Reason.COORDINATOR, "held by the coordinator"))

    async def _release(self, args: command_args.JobArgs) -> Result:
        job = await self._exact(args.job_id)
        if job.state is JobState.HELD and job.reason is not Reason.COORDINATOR:
            raise RefusedError(
                f"job {job.job_id} was held at the unit ({job.reason or 'no reason'})",
                code="held_here",
                remedy="a person releases it there: `fabunit job release`",
            )
        return _told(await self._queue.release(job.job_id))

    async def _retry(self, args: command_args.JobArgs) -> Result:
        job = await self._exact(args.job_id)
        return _told(await self._queue.retry(job.job_id))

    async def _start(self, args: command_args.JobArgs) -> Result:
        job = await self._exact(args.job_id)
        return _told(await self._start_job(job.job_id))

    async def _move(self, args: command_args.MoveArgs) -> Result:
        job = await self._exact(args.job_id)
        before = (await self._exact(args.before)).job_id if args.before else None
        return _told(await self._queue.move(job.job_id, At(args.to, before)))

    async def _bed_clear(self, _args: Document) -> Result:
        return {"bed": (await self._queue.clear_bed(Reason.COORDINATOR)).value}

    async def _exact(self, job_id: str) -> Job:
        """Return the job of exactly this id: a prefix, which people may type, is no id for a program."""
        job = await self._queue.get(job_id)
        if job.job_id != job_id:
            raise NotFoundError(f"no job has the id {job_id!r}")
        return job

    # The machine

    async def _home(self, args: command_args.HomeArgs) -> Result:
        await self._printer.home(args.axes)
        return None

    async def _heat(self, args: command_args.HeatArgs) -> Result:
        await self._printer.heat(args.heater, args.celsius)
        return None

    async def _cool(self, _args: Document) -> Result:
        await self._printer.cool()
        return None

    # The link

    async def _identify(self, _args: Document) -> Result:
        self._link.identify()
        try:
            await self._printer.command("M300 S880 P200")
        except FabunitError:
            # A printer that prints, or is away, cannot beep; the status still shows the wish.
            return {"beeped": False}
        return {"beeped": True}

    async def _watch(self, args: command_args.WatchArgs) -> Result:
        return {"seconds": self._link.watch(args.seconds)}

    async def _rebirth(self, _args: Document) -> Result:
        self._link.rebirth()
        return None

    async def _resend(self, args: command_args.ResendArgs) -> Result:
        return {"after": self._link.resend(args.epoch, args.after)}

    async def _configure(self, args: command_args.ConfigureArgs) -> Result:
        return await self._link.configure(args.block_s, args.batch)


def _told(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "state": job.state.value}
