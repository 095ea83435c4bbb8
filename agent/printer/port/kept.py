"""Open ports over a restart of the daemon: the service manager keeps a copy of the descriptor.

Its copy keeps the device open, so DTR never moves and unread bytes stay in the kernel. It also keeps the locks of the
last daemon: opening the device anew would be refused. So a kept descriptor is adopted, or released before an open.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import stat
from collections.abc import Callable, Mapping, Sequence

from agent.domain.errors import PortError
from agent.printer.discovery import PortInfo
from agent.printer.port.network import NetworkPort
from agent.printer.port.opening import adopt_port
from agent.printer.port.protocol import Port
from agent.printer.port.tty import TtyPort, release

IDENTITY_DIGITS = 32
"""Half of a SHA-256: a descriptor's name may have 255 characters and no colon, a port's identity has both."""
_NAME = re.compile(rf"port-([1-9][0-9]{{0,6}})-([0-9a-f]{{{IDENTITY_DIGITS}}})")
_DEAD = select.POLLHUP | select.POLLERR | select.POLLNVAL | select.POLLRDHUP


def kept_name(identity: str, baud: int) -> str:
    """Name a descriptor so that the next daemon knows which port it is, and at which rate."""
    return f"port-{baud}-{_digest(identity)}"


class KeptPorts:
    """The descriptors this process got from the one before, and the one it leaves to the next. One thread at a time.

    `store(descriptor, name)` hands a copy to the service manager and tells whether it was taken, `remove(name)` has it
    closed there. Without them nothing is kept.
    """

    def __init__(
        self,
        inherited: Mapping[str, int] | None = None,
        store: Callable[[int, str], bool] | None = None,
        remove: Callable[[str], bool] | None = None,
    ) -> None:
        self._inherited = dict(inherited or {})
        self._store = store
        self._remove = remove
        self._held: Port | None = None

    def has(self, identity: str) -> bool:
        """Whether a descriptor of this port was inherited and not used yet."""
        return any(_identity_digest(name) == _digest(identity) for name in self._inherited)

    def keep_only(self, candidates: Sequence[PortInfo]) -> None:
        """Release every inherited descriptor that belongs to none of these ports."""
        wanted = {_digest(candidate.identity) for candidate in candidates}
        for name in [name for name in self._inherited if _identity_digest(name) not in wanted]:
            self._discard(name)

    def adopt(self, candidate: PortInfo, baud: int | None = None) -> Port | None:
        """Take over the descriptor of this port; None where there is none of use (it is released then).

        `baud` is the rate the maker has set: a descriptor that runs at another one is of no use.
        """
        for name in [
            name for name in self._inherited if _identity_digest(name) == _digest(candidate.identity)
        ]:
            rate = _baud(name)
            descriptor = self._inherited[name]
            if baud in (None, rate) and _is_alive(descriptor) and _is_device(descriptor, candidate.device):
                with contextlib.suppress(PortError):
                    port = adopt_port(descriptor, candidate.device, rate, candidate.identity)
                    del self._inherited[name]
                    self._hold(port)
                    return port
            self._discard(name)
        return None

    def is_kept(self, port: Port) -> bool:
        """Whether the service manager has a copy of this port already: adopted ones came from there."""
        return self._held is port

    def keep(self, port: Port) -> bool:
        """Leave this open port to the next daemon; whether that is possible."""
        if self._store is None or not _is_whole(port):
            return False
        if not self._store(port.fileno(), kept_name(port.identity, port.baud)):
            return False
        self._hold(port)
        return True

    def forget(self, port: Port) -> None:
        """Have the service manager close its copy: this port is about to be closed for good."""
        if self._held is not port:
            return
        self._held = None
        if isinstance(port, TtyPort):
            port.kept = False
        if self._remove is not None:
            self._remove(kept_name(port.identity, port.baud))

    def discard(self) -> None:
        """Release all inherited descriptors that are left."""
        for name in list(self._inherited):
            self._discard(name)

    def _hold(self, port: Port) -> None:
        self._held = port
        if isinstance(port, TtyPort):
            port.kept = True

    def _discard(self, name: str) -> None:
        descriptor = self._inherited.pop(name)
        release(descriptor)
        with contextlib.suppress(OSError):  # a device that has gone may report EIO; it is closed all the same
            os.close(descriptor)
        if self._remove is not None:
            self._remove(name)


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:IDENTITY_DIGITS]


def _identity_digest(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    return match[2] if match else None


def _baud(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def _is_whole(port: Port) -> bool:
    """Whether the descriptor alone is the connection: behind an RFC 2217 port are threads of this process."""
    return isinstance(port, TtyPort) or (isinstance(port, NetworkPort) and not port.has_pumps)


def _is_alive(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLRDHUP)
    return not any(events & _DEAD for _, events in poller.poll(0))


def _is_device(descriptor: int, path: str) -> bool:
    """Whether an inherited terminal is still what `path` leads to: links may have moved to another device."""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISCHR(found.st_mode):
            return "://" in path
        return "://" not in path and os.stat(path).st_rdev == found.st_rdev  # noqa: PTH116 - a Path adds nothing here
    except OSError:
        return False
