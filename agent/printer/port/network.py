"""Ports behind a network: raw TCP (`socket://host:port`) and RFC 2217 (`rfc2217://host:port`)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.domain.errors import PortError
from agent.printer.port.protocol import READ_LIMIT

if TYPE_CHECKING:
    from serial import rfc2217

CONNECT_TIMEOUT_S = 5.0
"""A device server in the same network answers in milliseconds; a sleeping one wakes within seconds."""
KEEPALIVE_IDLE_S = 10
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
"""A dead peer is noticed after 10 s and 3 times 5 s without traffic: well within the heaters' patience."""
UNSENT_TIMEOUT_MS = 20_000
"""Bytes nobody acknowledged for this long end the connection (TCP_USER_TIMEOUT)."""
PUMP_BUFFER_BYTES = 4096
"""Between our write and the RFC 2217 connection: small, so that a full line is felt at once."""
PUMP_WAIT_S = 0.2
"""How often the reading pump looks whether it shall end; data wakes it at once."""


class NetworkPort:
    """A connected stream socket. For RFC 2217 its far end is a pair of pumps."""

    def __init__(
        self,
        stream: socket.socket,
        spec: str,
        baud: int,
        *,
        identity: str | None = None,
        pulse: Callable[[], None] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        stream.settimeout(0)
        self.spec = spec
        self.identity = identity or spec
        self.baud = baud
        self._stream = stream
        self._pulse = pulse
        self._on_close = on_close

    @property
    def has_pumps(self) -> bool:
        """Whether threads of this process stand between the descriptor and the printer (RFC 2217)."""
        return self._on_close is not None

    def fileno(self) -> int:
        """Return the descriptor; -1 after `close`."""
        return self._stream.fileno()

    def read(self, limit: int = READ_LIMIT) -> bytes:
        """Return what has come; b"" when nothing has. Raise PortError `port_lost` when the far end closed."""
        try:
            data = self._stream.recv(limit)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(None)
        return data

    def write(self, data: bytes) -> int:
        """Return how many bytes were taken, 0 when the buffers are full."""
        try:
            return self._stream.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error) from error

    def flush_output(self) -> None:
        """Do nothing: what TCP has taken cannot be taken back."""

    def pulse_dtr(self) -> None:
        """Reset the board through the server's DTR; PortError `port_unsupported` on raw TCP."""
        if self._pulse is None:
            raise PortError(
                f"{self.spec} is a raw connection without a DTR line",
                code="port_unsupported",
                remedy="switch the printer off and on, or use an rfc2217:// server",
            )
        try:
            self._pulse()
        except (OSError, ValueError) as error:
            raise self._lost(None) from error

    def close(self) -> None:
        """Close the connection and end the pumps."""
        self._stream.close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _lost(self, error: OSError | None) -> PortError:
        why = f" ({error.strerror or error})" if error is not None else ""
        return PortError(
            f"{self.spec}: the connection was closed{why}",
            code="port_lost",
            remedy="check the device server and the network",
        )


def connect_tcp(spec: str, baud: int) -> NetworkPort:
    """Connect to `socket://host:port`. Raise PortError when nobody answers."""
    host, port = address(spec)
    try:
        stream = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S)
    except OSError as error:
        raise unreachable(spec, error) from error
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    prepare_stream(stream)
    return NetworkPort(stream, spec, baud)


def prepare_stream(stream: socket.socket) -> None:
    """Make a dead peer show: without this a pulled network cable is silence for two hours."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSENT_TIMEOUT_MS)


def connect_rfc2217(spec: str, baud: int) -> NetworkPort:
    """Connect to `rfc2217://host:port`. Raise PortError when nobody answers there.

    pyserial's client has a reader thread and no descriptor, so two pumps carry its bytes over a socket pair.
    """
    from serial import rfc2217  # noqa: PLC0415 - few need it, and it is large

    address(spec)
    try:
        remote = rfc2217.Serial(spec, baudrate=baud, timeout=PUMP_WAIT_S)
    except (OSError, ValueError) as error:
        if "RFC2217" in str(error):
            raise PortError(
                f"{spec}: the server does not speak RFC 2217",
                code="port_unsupported",
                remedy="use socket://host:port for a raw TCP connection",
            ) from error
        raise unreachable(spec, error) from error
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PUMP_BUFFER_BYTES)
    pumps = _Pumps(remote, far)
    pumps.start()
    return NetworkPort(near, spec, baud, pulse=pumps.pulse_dtr, on_close=pumps.stop)


class _Pumps:
    """Two threads between a socket and pyserial's RFC 2217 client. If one side ends, both end."""

    def __init__(self, remote: rfc2217.Serial, far: socket.socket) -> None:
        self._remote = remote
        self._far = far
        self._ending = threading.Event()
        self._threads = (
            threading.Thread(target=self._inwards, name="rfc2217-in", daemon=True),
            threading.Thread(target=self._outwards, name="rfc2217-out", daemon=True),
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _inwards(self) -> None:
        # Every end of this thread is told to the port by closing the socket pair.
        with contextlib.suppress(OSError, ValueError, TypeError):
            while not self._ending.is_set():
                data = self._remote.read(max(1, self._remote.in_waiting))
                if data:
                    self._far.sendall(data)
        self._hang_up()

    def _outwards(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self._far.recv(PUMP_BUFFER_BYTES):
                self._remote.write(data)
        self._hang_up()

    def _hang_up(self) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)

    def pulse_dtr(self) -> None:
        self._remote.dtr = False
        self._ending.wait(PUMP_WAIT_S)
        self._remote.dtr = True

    def stop(self) -> None:
        self._hang_up()
        for thread in self._threads:
            thread.join(CONNECT_TIMEOUT_S)
        self._far.close()
        self._remote.close()


def address(spec: str) -> tuple[str, int]:
    """Split `scheme://host:port`; PortError `port_unsupported` when a part is missing."""
    try:
        parts = urlsplit(spec)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise PortError(
            f"{spec!r} names no host and port",
            code="port_unsupported",
            remedy="write it as socket://host:port or rfc2217://host:port",
        )
    return host, port


def unreachable(spec: str, error: Exception) -> PortError:
    """Build the error for a server that cannot be reached."""
    return PortError(
        f"{spec} cannot be reached: {error}",
        code="port_missing",
        remedy="check the address, the device server's power and the network",
    )
