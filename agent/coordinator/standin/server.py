"""The running coordinator: takes what the broker brings, commits, acknowledges, and sends what is due."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.coordinator.standin import protocol, records, tidying
from agent.coordinator.standin.broker_link import (
    BrokerLink,
    BrokerPlace,
    Connected,
    Delivered,
    Disconnected,
    LinkEvent,
    Taken,
)
from agent.coordinator.standin.file_server import FileServer, ServedFile
from agent.coordinator.standin.invitations import redeem
from agent.coordinator.standin.ledger import Connection, Ledger, meta, set_meta
from agent.domain.errors import FabunitError

# How soon an order another process wrote goes out.
POLL_S = 0.02
# One commit for all messages that came together, but no acknowledgement waits long for others.
MAX_BATCH = 200
TRIM_EVERY_S = 600.0
KEPT_RECORDS = 1_000_000
EXPIRE_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What to serve: the ledger, the broker, and where units fetch files.

    `files_port` 0 takes the port of last time, else a free one: URLs in jobs that were sent must stay good.
    `files_url` is what units see, where that is not `http://files_host:port`.
    """

    db: Path
    broker: BrokerPlace
    files_host: str = "127.0.0.1"
    files_port: int = 0
    files_url: str = ""


class CoordinatorServer:
    """Owns the broker link and the file server; `run` blocks until `stop`."""

    def __init__(self, plan: ServePlan) -> None:
        self._plan = plan
        self._ledger = Ledger(plan.db)
        self._files = self._open_files()
        self._link = BrokerLink(plan.broker, self._remember("client_id", _new_client_id))
        self._in_flight: set[protocol.Mark] = set()
        self._is_connected = False
        self._is_stopping = threading.Event()
        self._seen_version = -1
        self._next_trim_s = 0.0
        self._next_expire_s = 0.0

    @property
    def files_url(self) -> str:
        """The beginning of all file URLs, without a slash at its end."""
        return self._plan.files_url.rstrip("/") or f"http://{self._plan.files_host}:{self._files.port}"

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` is called. `on_ready` is called once, at the first connection to the broker."""
        with self._ledger.transaction() as connection:
            set_meta(connection, "files_url", self.files_url)
        self._files.start()
        self._link.start()
        is_ready = False
        try:
            while not self._is_stopping.is_set():
                self.step(POLL_S)
                if self._is_connected and not is_ready:
                    is_ready = True
                    on_ready()
        finally:
            self._link.stop()
            self._files.stop()
            self._ledger.close()

    def stop(self) -> None:
        """Have `run` return; for signal handlers and other threads."""
        self._is_stopping.set()

    def step(self, timeout_s: float) -> None:
        """Take the events that have come within `timeout_s`, commit them, acknowledge, send what is due."""
        events = self._gather(timeout_s)
        is_touched = bool(events) or self._is_ledger_changed() or time.monotonic() >= self._next_expire_s
        if not is_touched:
            return
        self._next_expire_s = time.monotonic() + EXPIRE_EVERY_S
        now_ms = time.time_ns() // 1_000_000
        with self._ledger.transaction() as connection:
            for event in events:
                self._take(connection, event, now_ms)
            due = protocol.due(connection, now_ms, self._in_flight) if self._is_connected else []
            self._trim(connection)
        # From here on everything is on the disk, and may be acknowledged.
        for event in events:
            if isinstance(event, Delivered):
                self._link.acknowledge(event)
        for message in due:
            if message.mark is not None:
                self._in_flight.add(message.mark)
            self._link.publish(message)

    def _gather(self, timeout_s: float) -> list[LinkEvent]:
        events: list[LinkEvent] = []
        with contextlib.suppress(queue.Empty):
            events.append(self._link.events.get(timeout=timeout_s))
            while len(events) < MAX_BATCH:
                events.append(self._link.events.get_nowait())
        return events

    def _take(self, connection: Connection, event: LinkEvent, now_ms: int) -> None:
        match event:
            case Connected() as connected:
                _log.info("broker_connected", session_kept=connected.is_session_kept)
                self._is_connected = True
                self._in_flight.clear()
                self._link.begin(connected)
                protocol.connected(connection)
            case Disconnected(reason):
                _log.warning("broker_disconnected", reason=reason)
                self._is_connected = False
                self._in_flight.clear()
                self._link.forget()
            case Delivered(message):
                refusal = protocol.receive(connection, message, now_ms)
                if refusal is not None:
                    _log.warning("message_refused", topic=refusal.topic, problem=refusal.problem)
            case Taken(mid, is_accepted):
                self._settle(connection, mid, is_accepted=is_accepted)

    def _settle(self, connection: Connection, mid: int, *, is_accepted: bool) -> None:
        mark = self._link.taken(mid)
        if mark is None:
            return
        self._in_flight.discard(mark)
        if is_accepted:
            protocol.sent(connection, mark)
        else:
            _log.warning("broker_refused_message", kind=mark[0])

    def _is_ledger_changed(self) -> bool:
        version = self._ledger.foreign_version()
        is_changed = version != self._seen_version
        self._seen_version = version
        return is_changed

    def _trim(self, connection: Connection) -> None:
        if time.monotonic() >= self._next_trim_s:
            self._next_trim_s = time.monotonic() + TRIM_EVERY_S
            records.trim(connection, KEPT_RECORDS)
            try:
                tidying.tidy(connection, self._ledger.files_dir, time.time_ns() // 1_000_000)
            except OSError as error:
                _log.warning("files_not_tidied", detail=str(error))

    def _remember(self, key: str, make: Callable[[], str]) -> str:
        with self._ledger.transaction() as connection:
            value = meta(connection, key)
            if value is None:
                value = make()
                set_meta(connection, key, value)
            return value

    def _open_files(self) -> FileServer:
        lookup = _Files(self._plan.db)
        remembered = int(meta(self._ledger.reading, "files_port") or 0)
        port = self._plan.files_port or remembered
        try:
            server = FileServer(self._plan.files_host, port, lookup, lookup.redeem)
        except OSError as error:
            raise FabunitError(
                f"files cannot be served on {self._plan.files_host}:{port}: {error.strerror or error}",
                code="port_in_use",
                remedy="end the other program, or name another port with --files-port",
            ) from error
        with self._ledger.transaction() as connection:
            set_meta(connection, "files_port", str(server.port))
        return server


class _Files:
    """Finds files by token; each thread of the file server has its own connection for the moment of a look-up."""

    def __init__(self, db: Path) -> None:
        self._db = db

    def __call__(self, token: str) -> ServedFile | None:
        ledger = Ledger(self._db)
        try:
            row = ledger.reading.execute("SELECT path, size FROM files WHERE token = ?", (token,)).fetchone()
        finally:
            ledger.close()
        return None if row is None else ServedFile(ledger.files_dir / row["path"], row["size"])

    def redeem(self, request: bytes) -> bytes | None:
        """Answer a request to join, once per invitation."""
        ledger = Ledger(self._db)
        try:
            return redeem(ledger, request, time.time())
        finally:
            ledger.close()


def _new_client_id() -> str:
    return f"fabunit-coordinator-{secrets.token_hex(6)}"
