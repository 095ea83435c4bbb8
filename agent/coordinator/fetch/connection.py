"""A connection to an address that was checked, and to no other: the name is resolved exactly once."""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from agent.coordinator.fetch.addresses import IPAddress
from agent.coordinator.fetch.allow_list import AllowList
from agent.coordinator.fetch.pace import FetchLimits, Pace
from agent.coordinator.fetch.targets import Target
from agent.domain.fetching import FetchError

# A name with hundreds of dead addresses must not hold the worker for long.
MAX_ADDRESSES = 4

Resolver = Callable[[str, int], Sequence[IPAddress]]
Clock = Callable[[], float]


def resolve(host: str, port: int) -> tuple[IPAddress, ...]:
    """Return the addresses of a name, in the system's order of preference. Raises FetchError `name_not_found`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(
            f"the name {host} cannot be resolved: {error}",
            code="name_not_found",
            is_transient=True,
            remedy="check the network and the name server of this machine",
        ) from None
    return tuple(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found))


class Dialler:
    """Opens checked connections for one download."""

    def __init__(
        self,
        allowed: AllowList,
        limits: FetchLimits,
        *,
        ca_file: str = "",
        resolver: Resolver = resolve,
        clock: Clock = time.monotonic,
    ) -> None:
        self._allowed = allowed
        self._limits = limits
        self._ca_file = ca_file
        self._resolver = resolver
        self._clock = clock

    def open(self, target: Target, pace: Pace) -> Connection:
        """Return a connection to `target`.

        Raises FetchError host_not_allowed, name_not_found, address_refused, unreachable, tls_failed.
        """
        self._allowed.check_host(target)
        literal = target.address
        addresses = (literal,) if literal is not None else self._resolver(target.host, target.port)
        permitted = self._allowed.permitted(target, addresses)[:MAX_ADDRESSES]
        failure: OSError | None = None
        for address in permitted:
            try:
                return Connection(target, self._connect(target, address), pace, self._clock)
            except ssl.SSLError as error:
                raise _tls_failed(target, error) from None
            except OSError as error:
                failure = error
        raise FetchError(
            f"{target.host}:{target.port} cannot be reached: {failure or 'the name has no address'}",
            code="unreachable",
            is_transient=True,
            remedy="check that the file server runs and can be reached from here",
        )

    def _connect(self, target: Target, address: IPAddress) -> socket.socket:
        plain = socket.create_connection((str(address), target.port), self._limits.connect_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._encrypted(target, plain) if target.is_encrypted else plain
        except BaseException:
            plain.close()
            raise

    def _encrypted(self, target: Target, plain: socket.socket) -> ssl.SSLSocket:
        """Speak TLS; the certificate must be the host's as the URL names it, whatever the address."""
        context = ssl.create_default_context(cafile=self._ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        encrypted = context.wrap_socket(plain, server_hostname=target.host, do_handshake_on_connect=False)
        try:
            _shake_hands(encrypted, self._limits.connect_s)
        except BaseException:
            encrypted.close()
            raise
        return encrypted


class Connection(http.client.HTTPConnection):
    """HTTP/1.1 over a socket that is already open; it never connects by itself."""

    def __init__(self, target: Target, opened: socket.socket, pace: Pace, clock: Clock) -> None:
        super().__init__(target.host, target.port)
        if target.is_encrypted:
            self.default_port = 443  # which is left out of the Host header
        self.sock: Any = _PacedSocket(opened, pace, clock)

    def connect(self) -> None:
        """Refuse: the checked socket is gone and no other may take its place. Raises ConnectionError."""
        raise ConnectionError("the connection has ended")


class _PacedSocket:
    """As much of a socket as http.client uses; every read obeys the pace."""

    def __init__(self, opened: socket.socket, pace: Pace, clock: Clock) -> None:
        self._socket = opened
        self._pace = pace
        self._clock = clock
        self._reader: _PacedReader | None = None

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self._pace.wait_s(self._clock()))
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionError(str(error)) from error

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode  # http.client only ever reads
        self._reader = _PacedReader(self._socket, self._pace, self._clock)
        return io.BufferedReader(self._reader)

    def close(self) -> None:
        # With `Connection: close` http.client closes the socket as soon as the answer's header was read, and
        # goes on reading the body from the reader, which closes what is under both.
        if self._reader is None:
            self._socket.close()


class _PacedReader(io.RawIOBase):
    def __init__(self, opened: socket.socket, pace: Pace, clock: Clock) -> None:
        self._socket = opened
        self._pace = pace
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # the buffer protocol has no type before 3.12
        while True:
            self._socket.settimeout(self._pace.wait_s(self._clock()))
            try:
                count = self._socket.recv_into(buffer)
            except TimeoutError:
                self._pace.silent(self._clock())
                continue
            except OSError as error:  # also TLS faults and lost routes, so that a disk's fault stays apart
                raise ConnectionError(str(error)) from error
            self._pace.received(count, self._clock())
            return count

    def close(self) -> None:
        if not self.closed:
            self._socket.close()
        super().close()


def _shake_hands(encrypted: ssl.SSLSocket, limit_s: float) -> None:
    """Complete the TLS handshake within `limit_s` in all: a socket's own timeout begins anew with every byte.

    Raises TimeoutError, ssl.SSLError, OSError.
    """
    deadline_s = time.monotonic() + limit_s
    encrypted.settimeout(0)
    while True:
        try:
            encrypted.do_handshake()
        except ssl.SSLWantReadError:
            wanted = select.POLLIN
        except ssl.SSLWantWriteError:
            wanted = select.POLLOUT
        else:
            return
        poll = select.poll()
        poll.register(encrypted, wanted)
        left_ms = (deadline_s - time.monotonic()) * 1000
        if left_ms <= 0 or not poll.poll(left_ms):
            raise TimeoutError(f"no TLS connection within {limit_s:g} s")


def _tls_failed(target: Target, error: ssl.SSLError) -> FetchError:
    what = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
    return FetchError(
        f"no trusted connection to {target.host}:{target.port}: {what or error}",
        code="tls_failed",
        is_transient=True,  # a clock that is not set yet is the usual cause
        remedy="check the clock of this machine, the server's certificate and coordinator.artefact_ca_file",
    )
