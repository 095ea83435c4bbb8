"""A port on a terminal device: USB serial adapter, native USB, UART, pseudo-terminal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import termios
import time
from typing import TYPE_CHECKING

from agent.domain.errors import PortError
from agent.printer.port.protocol import READ_LIMIT

if TYPE_CHECKING:
    import serial

DTR_LOW_S = 0.1
"""How long DTR is off: the reset capacitor of Arduino-like boards (0.1 µF, 10 kΩ) needs milliseconds."""

# struct termios2: four flag words, the line discipline, 19 control characters, input and output speed.
# Changing it as a whole keeps speeds termios has no name for (250,000); Linux asm-generic/ioctls.h.
_TERMIOS2 = struct.Struct("4IB19s2I")
_TCGETS2 = 0x802C542A
_TCSETS2 = 0x402C542B
_CFLAG = 2
_CONTROL_CHARS = 5


def prepare(fd: int) -> None:
    """Make an open terminal fit for an unattended host. Pseudo-terminals take it too.

    HUPCL off: the kernel raises DTR at the first open whatever the program wants (setting pyserial's `dtr`
    before opening only adds a pulse), and with HUPCL it drops DTR at the last close. The next open then is
    an edge, and boards with a capacitor from DTR to reset start anew. With HUPCL off the level stays, so that
    after the first open since plug-in no open and no crash of ours resets the board. DTR stays on: native
    USB boards take it for "somebody listens" and hold their output back without.

    VMIN 1: a read without data then fails with EAGAIN, and an empty read can only mean a hang-up. pyserial's
    VMIN 0 gives b"" for both.
    """
    values = list(_TERMIOS2.unpack(fcntl.ioctl(fd, _TCGETS2, bytes(_TERMIOS2.size))))
    values[_CFLAG] &= ~termios.HUPCL
    chars = bytearray(values[_CONTROL_CHARS])
    chars[termios.VMIN], chars[termios.VTIME] = 1, 0
    values[_CONTROL_CHARS] = bytes(chars)
    fcntl.ioctl(fd, _TCSETS2, _TERMIOS2.pack(*values))
    os.set_blocking(fd, False)


def claim(fd: int) -> None:
    """Keep other processes out: opening fails with EBUSY for all but root until the descriptor is closed.

    pyserial's own lock is advisory; a second program that does not ask for it gets in.
    """
    fcntl.ioctl(fd, termios.TIOCEXCL)


def release(fd: int) -> None:
    """Take both locks off, also where a copy of the descriptor stays open elsewhere; anything but a terminal may come.

    The locks belong to the open file, not to the descriptor: closing ours does not end them while the service manager
    still has its copy, and the next open would be refused.
    """
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCNXCL)


class TtyPort:
    """A terminal device. Owns the descriptor, and pyserial's object where pyserial opened it.

    `kept`: a copy of the descriptor waits for the next daemon, so closing this one leaves the locks on.
    """

    def __init__(
        self, fd: int, spec: str, baud: int, identity: str, owner: serial.SerialBase | None = None
    ) -> None:
        self.spec = spec
        self.identity = identity
        self.baud = baud
        self.kept = False
        self._fd = fd
        self._owner = owner

    def fileno(self) -> int:
        """Return the descriptor; -1 after `close`."""
        return self._fd

    def read(self, limit: int = READ_LIMIT) -> bytes:
        """Return what has come; b"" when nothing has. Raise PortError `port_lost` on a hang-up."""
        try:
            data = os.read(self._fd, limit)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(None)
        return data

    def write(self, data: bytes) -> int:
        """Return how many bytes the kernel took, 0 when its buffer is full."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error) from error

    def flush_output(self) -> None:
        """Drop what the kernel has not sent yet; a device that has gone has nothing to drop."""
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)

    def pulse_dtr(self) -> None:
        """Switch DTR off and on again: the edge resets boards that are wired for it."""
        dtr = struct.pack("I", termios.TIOCM_DTR)
        try:
            fcntl.ioctl(self._fd, termios.TIOCMBIC, dtr)
            time.sleep(DTR_LOW_S)
            fcntl.ioctl(self._fd, termios.TIOCMBIS, dtr)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                raise PortError(
                    f"{self.spec} has no DTR line, the board cannot be reset over it",
                    code="port_unsupported",
                    remedy="switch the printer off and on",
                ) from error
            raise self._lost(error) from error

    def close(self) -> None:
        """Close the descriptor; HUPCL is off, so DTR stays as it is."""
        fd, self._fd = self._fd, -1
        owner, self._owner = self._owner, None
        if fd >= 0 and not self.kept:
            release(fd)
        if owner is not None:
            owner.close()
        elif fd >= 0:
            # After an unplug the driver may report EIO; the descriptor is released all the same.
            with contextlib.suppress(OSError):
                os.close(fd)

    def _lost(self, error: OSError | None) -> PortError:
        why = "the port was closed" if self._fd < 0 else _reason(error)
        return PortError(
            f"{self.spec}: {why}", code="port_lost", remedy="check the printer's power and its USB cable"
        )


def _reason(error: OSError | None) -> str:
    if error is None or error.errno in (errno.EIO, errno.ENXIO, errno.ENODEV):
        return "the device has gone away"
    return f"the connection broke ({error.strerror})"
