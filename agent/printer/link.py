"""The asyncio side of one open connection: awaitable commands and holds over the printer thread.

Event loop only. A link lives as long as its port; after PortLost or a verdict it is finished and replaced.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from agent.domain.errors import ArtefactError, FabunitError, PortError, RefusedError
from agent.printer import framing
from agent.printer.engine import LineEngine, Mode
from agent.printer.engine_events import CommandDone, Drained, Failed, Reported, SessionOpened, StreamDone
from agent.printer.feeder import Feeder
from agent.printer.handshake import Answered
from agent.printer.port import Port
from agent.printer.replies import Reply
from agent.printer.runner import FileEnded, FileFailed, LinkRunner, PortLost, RunnerCrashed, RunnerEvent
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize

OPEN_TIMEOUT_S = 30.0
"""A session opens in milliseconds unless a blocking command still runs."""


class LinkDownError(PortError):
    """The conversation has ended: the port is gone, the printer halted, was reset or is silent."""

    code = "port_lost"

    def __init__(self, event: PortLost | Failed | RunnerCrashed) -> None:
        super().__init__(event.detail)
        self.event = event


class PrinterLink:
    """One connection. `on_reply` sees every reply that is not about the conversation itself."""

    def __init__(
        self,
        port: Port,
        identity: Answered,
        size: WindowSize,
        transcript: Transcript,
        on_reply: Callable[[Reply], None],
    ) -> None:
        self.identity = identity
        self.port_id = port.identity
        self.baud = port.baud
        self.engine = LineEngine(identity.dialect, size)
        capabilities = identity.firmware.capabilities if identity.firmware else {}
        if identity.dialect.autoreport and capabilities.get("AUTOREPORT_TEMP") and not identity.busy:
            self.engine.pace.report_seen()  # it was set up while connecting: silence counts before the first one
        self.down: asyncio.Future[PortLost | Failed | RunnerCrashed]
        self._loop = asyncio.get_running_loop()
        self.down = self._loop.create_future()
        self._on_reply = on_reply
        self._runner = LinkRunner(port, self.engine, transcript, self._from_thread)
        self._tokens = itertools.count(1)
        self._commands: dict[int, asyncio.Future[list[str]]] = {}
        self._waiting: dict[type[Any], asyncio.Future[Any]] = {}
        self._turn = asyncio.Lock()
        self._feeder: Feeder | None = None
        self.file_end: FileEnded | None = None
        self.file_failure: FileFailed | None = None

    def start(self) -> None:
        """Start the printer thread."""
        self._runner.start()

    @property
    def beats(self) -> int:
        """Rises while the printer thread lives."""
        return self._runner.beats

    @property
    def is_blocked(self) -> bool:
        """Whether a blocking command (heat-up, homing, prompt) is being executed."""
        chunk = self.engine.window.current()
        return chunk is not None and chunk.barrier

    @property
    def is_streaming(self) -> bool:
        """Whether lines of a session may be sent now."""
        return self.engine.mode is Mode.FLOW

    async def open_session(self, base: int, at: int = 0) -> None:
        """Make the firmware expect line number `base + at + 1`. Raises LinkDownError, RefusedError on timeout."""
        opened = self._expect(SessionOpened)
        self._runner.post(lambda now: self.engine.open(base, at, now))
        await self._get(opened, OPEN_TIMEOUT_S)

    async def adopt_session(self, base: int, at: int) -> None:
        """Go on in a session the firmware is already in."""
        opened = self._expect(SessionOpened)
        self._runner.post(lambda now: self.engine.adopt(base, at, now))
        await self._get(opened, OPEN_TIMEOUT_S)

    def stream(
        self, feeder_of: Callable[[int | None, Callable[[], None]], Feeder]
    ) -> asyncio.Future[StreamDone]:
        """Begin to send a file; the future ends with the firmware's confirmation of the last line.

        It ends with ArtefactError `artefact_lost` (and `file_failure`) when the file cannot be read to its end.
        `feeder_of(base, wake)` makes the feeder; base is None for firmware without line numbers.
        """
        self.file_end = self.file_failure = None
        done = self._expect(StreamDone)
        if done.done():
            return done
        base = self.engine.base if self.engine.dialect.numbered else None
        self._feeder = feeder = feeder_of(base, self._runner.wake)
        self._runner.post(lambda _: self._runner.feed_from(feeder))
        feeder.start()
        return done

    def stop_feeding(self) -> None:
        """Read no further lines of the file."""
        self._runner.post(lambda _: self._runner.feed_from(None))

    async def command(self, text: str, timeout_s: float | None = None) -> list[str]:
        """Run one host command in the open session; returns the reply lines. One at a time, in order."""
        async with self._turn:
            token = next(self._tokens)
            done: asyncio.Future[list[str]] = self._loop.create_future()
            self._commands[token] = done
            self._runner.post(lambda _: self._push_command(token, text))
            try:
                replies: list[str] = await self._get(done, timeout_s)
                return replies
            finally:
                self._commands.pop(token, None)

    async def hold(self, timeout_s: float | None = None) -> int:
        """Stop sending lines; returns the last accepted line once nothing is in flight."""
        drained = self._expect(Drained)
        self._runner.post(lambda _: self.engine.hold())
        event: Drained = await self._get(drained, timeout_s)
        return event.line

    def urgent(self, data: bytes) -> None:
        """Send raw bytes ahead of everything else."""
        self._runner.post(lambda _: self.engine.urgent(data))

    def poll_temperatures(self) -> None:
        """Ask for temperatures between two lines."""
        self._runner.post(lambda _: self.engine.poll())

    def emergency(self, *, resets_board: bool = False) -> None:
        """Write the emergency stop ahead of everything; the conversation is over then.

        Bare first: that is what emergency parsers see, and what builds without one obey while their queue has room.
        The numbered form follows for firmware that ignores unnumbered lines. `resets_board`: pulse DTR behind it.
        """

        def stop(_: float) -> None:
            number = self.engine.base + self.engine.window.sent + 1
            data = b"\nM112\n"
            if self.engine.dialect.numbered:
                data += framing.frame(number, b"M112")
            self._runner.emergency(data, resets_board=resets_board)
            self.engine.halt("emergency stop")

        self._runner.post(stop)

    async def close(self) -> None:
        """End the thread and close the port; the printer keeps what it has."""
        await asyncio.to_thread(self._runner.close)
        self._fall(PortLost("closed"))

    def reset_board(self) -> None:
        """Pulse DTR, which resets boards that are wired for it. Raises PortError where the port has no DTR."""
        self._runner.pulse_dtr()

    # -- events from the thread -----------------------------------------------------------------------------------

    def _from_thread(self, event: RunnerEvent) -> None:
        try:
            self._loop.call_soon_threadsafe(self._handle, event)
        except RuntimeError:
            return  # the loop has closed: the daemon is gone, and with it everybody who could listen

    def _handle(self, event: RunnerEvent) -> None:
        match event:
            case Reported(reply=reply):
                self._on_reply(reply)
            case CommandDone(token=token, replies=replies):
                done = self._commands.get(token)
                if done is not None and not done.done():
                    done.set_result(list(replies))
            case FileEnded():
                self.file_end = event
            case FileFailed():
                self.file_failure = event
                self._refuse(StreamDone, ArtefactError(event.detail, code="artefact_lost"))
            case PortLost() | Failed() | RunnerCrashed():
                self._fall(event)
            case _:
                waiting = self._waiting.pop(type(event), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(event)

    def _fall(self, event: PortLost | Failed | RunnerCrashed) -> None:
        if not self.down.done():
            self.down.set_result(event)
        if self._feeder is not None:
            self._feeder.close()
        for future in [*self._waiting.values(), *self._commands.values()]:
            if not future.done():
                future.set_exception(LinkDownError(event))
                future.exception()  # a future nobody waits for any more is no error
        self._waiting.clear()

    def _refuse(self, kind: type[Any], error: FabunitError) -> None:
        """What is waited for will not happen."""
        waiting = self._waiting.pop(kind, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
            waiting.exception()

    def _push_command(self, token: int, text: str) -> None:
        window = self.engine.window
        base = self.engine.base if self.engine.dialect.numbered else None
        chunk = framing.build_chunk(window.last + 1, base, [text.encode("latin-1", "replace")], barrier=True)
        self.engine.push(framing.with_token(chunk, token))

    def _expect(self, kind: type[Any]) -> asyncio.Future[Any]:
        """A future for the next event of this kind."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.down.done():
            future.set_exception(LinkDownError(self.down.result()))
            future.exception()
            return future
        self._waiting[kind] = future
        return future

    async def _get(self, future: asyncio.Future[Any], timeout_s: float | None) -> Any:
        if self.down.done() and not future.done():
            raise LinkDownError(self.down.result())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(future)
        except TimeoutError as error:
            msg = f"the printer did not answer within {timeout_s:.0f} s"
            raise RefusedError(
                msg, code="printer_busy", remedy="wait until it has finished, or stop it"
            ) from error
