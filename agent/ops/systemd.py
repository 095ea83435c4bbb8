"""Talking to systemd: one datagram per message (sd_notify(3)), no library needed."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

# systemd's advice is half the interval; a third leaves room for one late beat on a loaded Pi.
WATCHDOG_SHARE = 3
# SD_LISTEN_FDS_START of sd_listen_fds(3).
FIRST_INHERITED_FD = 3
# What `systemctl status` shows on one line.
STATUS_LIMIT = 200


class Notifier:
    """Sends state to the service manager; without one every call does nothing. Safe from any thread.

    Every method returns whether the message was handed over: a lost one is never worth failing for.
    """

    def __init__(self, address: str | None) -> None:
        self._address = _socket_address(address)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """Use `$NOTIFY_SOCKET`."""
        return cls(environ.get("NOTIFY_SOCKET"))

    @property
    def is_managed(self) -> bool:
        """Tell whether a service manager listens."""
        return self._address is not None

    def ready(self, status: str = "") -> bool:
        """Report that the start is over."""
        return self._send("READY=1", status)

    def stopping(self, status: str = "") -> bool:
        """Report that an orderly stop has begun."""
        return self._send("STOPPING=1", status)

    def status(self, status: str) -> bool:
        """Set the line that `systemctl status` shows."""
        return self._send("", status)

    def watchdog(self) -> bool:
        """Say that the daemon is alive; call at least every `watchdog_interval_s`."""
        return self._send("WATCHDOG=1", "")

    def extend_timeout(self, seconds: float) -> bool:
        """Ask for more time to start or stop, counted from now."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}", "")

    def store_fd(self, descriptor: int, name: str) -> bool:
        """Have the service manager keep a copy of `descriptor` over a restart (`FileDescriptorStoreMax=`)."""
        return self._send(f"FDSTORE=1\nFDNAME={name}", "", descriptor)

    def remove_fd(self, name: str) -> bool:
        """Have it close every descriptor it keeps under `name`."""
        return self._send(f"FDSTOREREMOVE=1\nFDNAME={name}", "")

    def _send(self, state: str, status: str, descriptor: int | None = None) -> bool:
        if self._address is None:
            return False
        line = " ".join(status.split())[:STATUS_LIMIT]
        message = "\n".join(part for part in (state, f"STATUS={line}" if line else "") if part)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            try:
                if descriptor is None:
                    channel.sendto(message.encode(), self._address)
                else:
                    channel.connect(self._address)
                    socket.send_fds(channel, [message.encode()], [descriptor])
            except OSError:  # the manager is gone or its queue is full; reported by the return value
                return False
        return True


def _socket_address(address: str | None) -> str | None:
    """Turn `@name` into the kernel's form of an abstract address; other kinds (vsock) are not ours."""
    if not address or address[0] not in "/@":
        return None
    return "\0" + address[1:] if address[0] == "@" else address


def inherited_fds(environ: MutableMapping[str, str] = os.environ, pid: int | None = None) -> dict[str, int]:
    """Return the descriptors the service manager kept or opened for this process, by name (sd_listen_fds(3)).

    They are closed on exec from now on; the variables are removed so that no child takes them for its own. Of several
    with one name the last one counts, the others are closed.
    """
    mine = environ.pop("LISTEN_PID", "") == str(os.getpid() if pid is None else pid)
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if not mine or not count.isascii() or not count.isdigit():
        return {}
    found: dict[str, int] = {}
    for index in range(int(count)):
        descriptor = FIRST_INHERITED_FD + index
        try:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the call has no keyword
        except OSError:  # announced and not there: nothing to adopt
            continue
        name = names[index] if index < len(names) else ""
        if name in found:
            os.close(found[name])
        found[name] = descriptor
    return found


def watchdog_interval_s(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return seconds between two beats (a third of `WatchdogSec=`); None where no watchdog waits for us."""
    wanted_pid = environ.get("WATCHDOG_PID", "")
    if wanted_pid and wanted_pid != str(os.getpid() if pid is None else pid):
        return None
    interval_us = environ.get("WATCHDOG_USEC", "")
    if not interval_us.isascii() or not interval_us.isdigit() or int(interval_us) == 0:
        return None
    return int(interval_us) / 1_000_000 / WATCHDOG_SHARE


def is_journal(descriptor: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this descriptor goes to the journal: `$JOURNAL_STREAM` is its device and inode."""
    stream = environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"
