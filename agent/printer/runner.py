"""The printer thread: poll, read, write on one port, driven by the line engine.

It does nothing else, so that the rest of the daemon may be slow without the printer noticing. Others reach it through
`post`; it tells them through one callback that must only enqueue.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent.domain.errors import PortError
from agent.printer.engine import LineEngine
from agent.printer.engine_events import EngineEvent, Resynchronised
from agent.printer.feeder import EndOfFile, Feeder, FeedFailed
from agent.printer.port import Port
from agent.printer.transcript import Transcript
from agent.thread_name import name_thread

LOW_BACKLOG_LINES = 1024
"""Framed lines kept inside the engine; the feeder holds more."""
IDLE_POLL_S = 1.0
"""The beat of an idle thread, for the watchdog."""


@dataclass(frozen=True, slots=True)
class PortLost:
    """The port went away; the thread has ended."""

    detail: str


@dataclass(frozen=True, slots=True)
class RunnerCrashed:
    """A defect ended the thread; the daemon must not go on without it."""

    detail: str


@dataclass(frozen=True, slots=True)
class FileEnded:
    """The feeder read the whole file."""

    end: EndOfFile


@dataclass(frozen=True, slots=True)
class FileFailed:
    """The feeder could not read the file; the lines before were handed over."""

    detail: str


RunnerEvent = EngineEvent | PortLost | RunnerCrashed | FileEnded | FileFailed


class LinkRunner:
    """Owns port and engine while it runs. Public methods may be called from any thread."""

    def __init__(
        self,
        port: Port,
        engine: LineEngine,
        transcript: Transcript,
        notify: Callable[[RunnerEvent], None],
    ) -> None:
        self.engine = engine
        self.beats = 0
        self._port = port
        self._transcript = transcript
        self._notify = notify
        self._posted: deque[Callable[[float], None]] = deque()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_lock = threading.Lock()
        self._closing = False
        self._unsent = b""
        self._was_swift = False  # what was read needed no more than the next lines, and they are written
        self._feeder: Feeder | None = None
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)

    def start(self) -> None:
        """Begin to serve the port."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def post(self, action: Callable[[float], None]) -> None:
        """Have `action(now)` executed in the printer thread."""
        self._posted.append(action)
        self.wake()

    def wake(self) -> None:
        """End the current poll.

        After the end of the thread it does nothing: the descriptor's number may belong to another file by then.
        """
        with self._wake_lock, contextlib.suppress(BlockingIOError):  # a full pipe wakes the thread anyway
            if self._wake_write >= 0:
                os.write(self._wake_write, b"\0")

    def feed_from(self, feeder: Feeder | None) -> None:
        """Take lines from `feeder` from now on (printer thread only)."""
        if self._feeder is not None:
            self._feeder.close()
        self._feeder = feeder

    def emergency(self, data: bytes, *, resets_board: bool = False) -> None:
        """Throw away what is unsent and write `data` now (printer thread only).

        `resets_board`: pulse DTR behind it, for a firmware that reads nothing while it is busy. A port without DTR
        leaves it at the words.
        """
        self._unsent = b""
        self._port.flush_output()
        self._write(data, time.monotonic())
        if resets_board:
            try:
                self._port.pulse_dtr()
                self._transcript.note("the board was reset by its DTR line", time.monotonic())
            except PortError as error:
                self._transcript.note(f"no reset by DTR: {error.message}", time.monotonic())

    def pulse_dtr(self) -> None:
        """Reset the board where DTR is wired to its reset line."""
        self._port.pulse_dtr()

    def close(self, timeout_s: float = 2.0) -> None:
        """End the thread and close the port."""
        self._closing = True
        self.wake()
        if self._thread.ident is None:
            self._release()
        elif threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    # -- in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        name_thread("printer")
        try:
            self._loop()
        except PortError as error:
            self._notify(PortLost(error.message))
        except Exception as error:  # noqa: BLE001 - the top of a thread: a defect must be seen, never a silent stall
            structlog.get_logger("printer").exception("printer_thread_crashed")
            self._notify(RunnerCrashed(f"{type(error).__name__}: {error}"))
        finally:
            self._release()

    def _release(self) -> None:
        if self._feeder is not None:
            self._feeder.close()
        self._port.close()
        with self._wake_lock:
            if self._wake_write >= 0:
                os.close(self._wake_read)
                os.close(self._wake_write)
            self._wake_read = self._wake_write = -1

    def _loop(self) -> None:
        port, engine = self._port, self.engine
        fd = port.fileno()
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        poller.register(fd, select.POLLIN)
        writing = False
        deadline = engine.deadline()
        now = time.monotonic()
        while not self._closing:
            ready = poller.poll(_timeout_ms(deadline, now))
            now = time.monotonic()
            self.beats += 1
            self._was_swift = False
            for descriptor, _ in ready:
                if descriptor == self._wake_read:
                    self._drain_wake()
                else:
                    self._receive(now)
            if self._was_swift and deadline is not None and now < deadline:
                continue
            self._act(now, deadline)
            data = engine.outgoing(now)
            if data or self._unsent:
                self._write(data, now)
                if bool(self._unsent) != writing:
                    writing = bool(self._unsent)
                    poller.modify(fd, select.POLLIN | (select.POLLOUT if writing else 0))
            for event in engine.take_events():
                if not isinstance(event, Resynchronised):
                    self._notify(event)
            deadline = engine.deadline()

    def _act(self, now: float, deadline: float | None) -> None:
        """What others asked for, what time asks for, and the next lines of the file."""
        while self._posted:
            self._posted.popleft()(now)
        if deadline is not None and now >= deadline:
            self.engine.on_deadline(now)
        if self._feeder is not None and self.engine.window.backlog < LOW_BACKLOG_LINES:
            self._refill(self._feeder)

    def _drain_wake(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return

    def _receive(self, now: float) -> None:
        data = self._port.read()
        if not data:
            return
        engine = self.engine
        if not (self._posted or self._unsent) and (
            self._feeder is None or engine.window.backlog >= LOW_BACKLOG_LINES
        ):
            out = engine.swift(data, now)
            if out is not None:
                self._transcript.exchanged(data, out, now)
                if out:
                    self._hand_over(out)
                self._was_swift = not self._unsent
                return
        self._transcript.received(data, now)
        engine.feed(data, now)

    def _refill(self, feeder: Feeder) -> None:
        while self.engine.window.backlog < LOW_BACKLOG_LINES:
            item = feeder.take()
            if item is None:
                return
            if isinstance(item, EndOfFile):
                self._feeder = None
                self.engine.finish()
                self._notify(FileEnded(item))
                return
            if isinstance(item, FeedFailed):
                self._feeder = None
                self._notify(FileFailed(item.detail))
                return
            self.engine.push(item.chunk)

    def _write(self, data: bytes, now: float) -> None:
        if data:
            self._transcript.sent(data, now)
        self._hand_over(self._unsent + data if self._unsent else data)

    def _hand_over(self, pending: bytes) -> None:
        """Give the port what it takes; the rest stays unsent."""
        taken = self._port.write(pending)
        self._unsent = pending[taken:] if taken < len(pending) else b""


def _timeout_ms(deadline: float | None, now: float) -> float:
    """How long to poll. Half a millisecond more, because poll rounds down and would wake up just too early."""
    if deadline is None:
        return IDLE_POLL_S * 1000
    return min(IDLE_POLL_S, max(0.0, deadline - now)) * 1000 + 0.5
