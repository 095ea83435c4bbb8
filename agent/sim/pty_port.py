"""The pseudo-terminal that stands for the printer's serial port, under a symbolic link with a stable name.

A pty differs from a serial port in two ways that are evened out here: what was written while nobody listened would be
kept for the next opener, and a host's exclusive lock (TIOCEXCL) would outlive its descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import select
import termios
import tty
from pathlib import Path

READ_BYTES = 4096
UNREAD_LIMIT_BYTES = 65536  # a host that does not read loses what comes beyond this, as with a real port


class LinkError(OSError):
    """The link cannot be created there; the message says why and what to do."""


class PtyPort:
    """One serial port as hosts see it. `close` pulls the cable, `open` plugs it in again."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.fd = -1
        self.device = ""
        self._unsent = bytearray()
        self._poll = select.poll()

    def check_link(self) -> None:
        """Raise LinkError when something that is not ours is in the way."""
        link = self.link
        if link.is_symlink():
            target = link.readlink()
            if link.exists() and not str(target).startswith("/dev/pts/"):
                raise LinkError(
                    f"{link} points to {target}, which is no pseudo-terminal; choose another --link"
                )
        elif link.exists():
            raise LinkError(f"{link} exists and is not a symbolic link; choose another --link or remove it")
        elif not link.parent.is_dir():
            raise LinkError(f"the folder {link.parent} does not exist; create it or choose another --link")

    def open(self) -> None:
        """Create the pty (raw, no echo, nobody attached) and point the link to it."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        self.device = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(master, False)
        self.fd = master
        self._unsent.clear()
        self._poll = select.poll()
        self._poll.register(master, select.POLLIN)
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        fresh.symlink_to(self.device)
        fresh.replace(self.link)

    def close(self) -> None:
        """Remove link and pty: a host that has the port open gets an error, as when the cable is pulled."""
        if self.fd < 0:
            return
        with contextlib.suppress(OSError):
            if str(self.link.readlink()) == self.device:
                self.link.unlink()
        os.close(self.fd)
        self.fd = -1

    def state(self) -> tuple[bool, bool]:
        """Whether a host has the port open, and whether there are bytes to read."""
        events = self._poll.poll(0)
        flags = events[0][1] if events else 0
        return not flags & select.POLLHUP, bool(flags & select.POLLIN)

    def read(self, limit: int) -> bytes:
        """Bytes the host has written; empty when there are none."""
        try:
            return os.read(self.fd, min(limit, READ_BYTES))
        except OSError as error:
            if error.errno in (errno.EIO, errno.EAGAIN):  # nobody has it open, or nothing there
                return b""
            raise

    def write(self, data: bytes) -> None:
        """Hand bytes to the host; what it leaves unread beyond the limit is lost."""
        self._unsent += data
        del self._unsent[: max(0, len(self._unsent) - UNREAD_LIMIT_BYTES)]
        try:
            del self._unsent[: os.write(self.fd, self._unsent)]
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EAGAIN):
                raise

    @property
    def has_unsent(self) -> bool:
        """Whether the host is not reading."""
        return bool(self._unsent)

    def forget(self) -> None:
        """The host has closed the port: nothing unread and no lock may reach the next one."""
        self._unsent.clear()
        try:
            slave = os.open(self.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EIO):
                raise
            old = self.fd
            self.open()  # the host's exclusive lock lives on in this pty: take a new one
            os.close(old)
            return
        try:
            termios.tcflush(slave, termios.TCIFLUSH)
            tty.setraw(slave)
        finally:
            os.close(slave)
