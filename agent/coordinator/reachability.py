"""Whether a broker can be reached from this machine, as far as that can be tried beside a running link.

Name, TCP and TLS; no MQTT: a CONNECT with the unit's id would end the connection that the daemon has.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.coordinator import tls
from agent.coordinator.broker_address import BrokerAddress
from agent.coordinator.messages import Closed, CloseKind

# A person waits; a broker that takes longer than this to take a connection is not well.
STEP_TIMEOUT_S = 3.0
# Resolvers try several servers for seconds each and cannot be interrupted: they are left behind.
NAME_TIMEOUT_S = 6.0
# Under TLS 1.3 the broker judges our certificate after our side of the handshake is over.
VERDICT_S = 1.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of `[coordinator]` that a TLS connection uses, None for those that are not set."""

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """What a try came to; `failure` is None where the broker was reached."""

    broker: str
    failure: Closed | None


def reach_all(
    addresses: Sequence[BrokerAddress], files: TlsFiles, *, is_clock_set: bool = True
) -> tuple[Reached, ...]:
    """Try all brokers at once; returns after some 13 s at most, whatever they do. Blocking."""
    results: queue.SimpleQueue[tuple[int, Closed | None]] = queue.SimpleQueue()

    def work(number: int, address: BrokerAddress) -> None:
        results.put((number, reach(address, files, is_clock_set=is_clock_set)))

    for number, address in enumerate(addresses):
        threading.Thread(target=work, args=(number, address), name="reach", daemon=True).start()
    unanswered = Closed(CloseKind.TIMEOUT, "it could not be found out in time", "fabunit doctor   (again)")
    failures: dict[int, Closed | None] = dict.fromkeys(range(len(addresses)), unanswered)
    end_s = time.monotonic() + NAME_TIMEOUT_S + 2 * STEP_TIMEOUT_S + VERDICT_S
    for _ in addresses:
        try:
            number, failure = results.get(timeout=max(0.0, end_s - time.monotonic()))
        except queue.Empty:
            break
        failures[number] = failure
    return tuple(Reached(str(address), failures[number]) for number, address in enumerate(addresses))


def reach(
    address: BrokerAddress,
    files: TlsFiles,
    *,
    is_clock_set: bool = True,
    timeout_s: float = STEP_TIMEOUT_S,
) -> Closed | None:
    """Resolve, connect, and shake hands where the address is one of TLS; None when all of that worked. Blocking."""
    try:
        context, is_ours_shown = _context(files) if address.is_tls else (None, False)
    except OSError as error:
        return tls.unusable_file(error, (files.ca_file, files.client_cert, files.client_key))
    try:
        _resolve(address)
        with socket.create_connection((address.host, address.port), timeout_s) as plain:
            if context is not None:
                with context.wrap_socket(plain, server_hostname=address.host) as secured:
                    return _verdict(secured) if is_ours_shown else None
    except OSError as error:
        return tls.explain(error, address.host, is_clock_set=is_clock_set)
    return None


def _context(files: TlsFiles) -> tuple[ssl.SSLContext, bool]:
    """Return how to shake hands, and whether that shows the broker what the daemon would. Raises OSError."""
    try:
        return tls.context(files.ca_file, files.client_cert, files.client_key), True
    except PermissionError:
        # A maker may ask without the daemon's right to read its key: the broker can be judged all the same.
        return tls.context(files.ca_file, None, None), False


def _verdict(secured: ssl.SSLSocket) -> Closed | None:
    """Return what the broker has against our certificate. It says nothing else unasked. Raises OSError."""
    secured.settimeout(VERDICT_S)
    try:
        is_open = bool(secured.recv(1))
    except TimeoutError:
        return None
    return None if is_open else Closed(CloseKind.LOST, "the broker hung up after TLS", tls.CERTIFICATE_DOUBT)


def _resolve(address: BrokerAddress) -> None:
    """Look the name up. Raises OSError."""
    found: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except OSError as error:
            found.put(error)
        else:
            found.put(None)

    threading.Thread(target=work, name="resolve", daemon=True).start()
    try:
        failure = found.get(timeout=NAME_TIMEOUT_S)
    except queue.Empty:
        failure = socket.gaierror(socket.EAI_AGAIN, "no name server answers")
    if failure is not None:
        raise failure
