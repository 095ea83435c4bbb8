"""Opening a port by its specification, and naming what hinders it."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from pathlib import Path

import serial

from agent.domain.errors import PortError
from agent.printer import discovery
from agent.printer.port.holders import holders
from agent.printer.port.network import NetworkPort, connect_rfc2217, connect_tcp
from agent.printer.port.protocol import Port
from agent.printer.port.tty import TtyPort, claim, prepare

TOUCH_BAUD = 1200
"""At this rate some native USB boards start their boot loader (Arduino's touch reset): never used."""
MAX_BAUD = 4_000_000
"""Above what any printer board or adapter offers; larger numbers are typing errors."""

_MISSING = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOTDIR)
_DENIED = (errno.EACCES, errno.EPERM)
_OURS = "fabunit"
"""The daemon's name among the processes, as the installed program has it."""
_BUSY = (errno.EBUSY, errno.EAGAIN)


def open_port(spec: str, baud: int) -> Port:
    """Open a device path, `socket://host:port` or `rfc2217://host:port`.

    May take some seconds for network ports. On Linux the first open since plug-in raises DTR, which resets
    many boards; later opens do not (see `tty.prepare`).
    Raises PortError: port_missing, port_busy, port_denied, port_unsupported.
    """
    if not 0 < baud <= MAX_BAUD or baud == TOUCH_BAUD:
        raise PortError(
            f"{baud} baud cannot be used for a printer",
            code="port_unsupported",
            remedy='set [printer] baud to "auto" or to the rate of the firmware, often 115200 or 250000',
        )
    if spec.startswith("socket://"):
        return connect_tcp(spec, baud)
    if spec.startswith("rfc2217://"):
        return connect_rfc2217(spec, baud)
    if "://" in spec:
        raise PortError(
            f"{spec!r} is no kind of port fabunit knows",
            code="port_unsupported",
            remedy="use a device path, socket://host:port or rfc2217://host:port",
        )
    return _open_device(spec, baud)


def adopt_port(fd: int, spec: str, baud: int, identity: str) -> Port:
    """Take over a descriptor that was kept open over a restart. Nothing is flushed: unread bytes stay.

    Raises PortError port_lost when it is no open terminal or stream socket any more; it is left open then.
    """
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            return NetworkPort(_connected_stream(fd), spec, baud, identity=identity)
        prepare(fd)
        claim(fd)
    except OSError as error:
        raise PortError(
            f"{spec}: the descriptor kept over the restart is of no use ({error.strerror})",
            code="port_lost",
            remedy="",
        ) from error
    return TtyPort(fd, spec, baud, identity)


def _connected_stream(fd: int) -> socket.socket:
    stream = socket.socket(fileno=fd)
    try:
        stream.getpeername()
    except OSError:
        stream.detach()
        raise
    return stream


def _open_device(path: str, baud: int) -> Port:
    try:
        # Default DTR and RTS (on): anything else makes an edge on a line the kernel has just raised.
        owner = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
    except serial.SerialException as error:
        raise _refusal(path, error.errno, str(error)) from error
    except (ValueError, OverflowError) as error:
        raise _unsupported(path, f"does not take {baud} baud ({error})") from error
    except OSError as error:  # a custom rate the driver refuses
        raise _refusal(path, error.errno, str(error)) from error
    fd = owner.fileno()
    try:
        prepare(fd)
        claim(fd)
    except OSError as error:
        owner.close()
        raise _refusal(path, error.errno, str(error)) from error
    # 1 ms instead of FTDI's 16 ms; CDC devices and pseudo-terminals have no such setting.
    with contextlib.suppress(OSError, ValueError):
        owner.set_low_latency_mode(True)
    return TtyPort(fd, path, baud, discovery.identity_of(path), owner)


def _refusal(path: str, code: int | None, text: str) -> PortError:
    if code in _MISSING:
        return discovery.missing(path)
    if code in _DENIED:
        return _denied(path)
    if code in _BUSY:
        return _busy(path)
    return _unsupported(path, f"cannot be used as a serial port ({text})")


def _unsupported(path: str, why: str) -> PortError:
    return PortError(
        f"{path} {why}", code="port_unsupported", remedy="name the printer's serial port, or auto"
    )


def _denied(path: str) -> PortError:
    group = "dialout"
    with contextlib.suppress(OSError, KeyError):
        group = grp.getgrgid(Path(path).stat().st_gid).gr_name
    user = "USER"
    with contextlib.suppress(OSError, KeyError):
        import getpass  # noqa: PLC0415 - only for this error

        user = getpass.getuser()
    if group == "root":
        remedy = f"give the user {user} access to {path}, for example with a udev rule"
    else:
        remedy = f"sudo usermod -aG {group} {user}, then log in again (or restart the service)"
    return PortError(f"{user} may not open {path}", code="port_denied", remedy=remedy)


def _busy(path: str) -> PortError:
    found = holders(Path(path))
    names = ", ".join(f"{holder.program} (pid {holder.pid})" for holder in found)
    if any(holder.program == _OURS for holder in found):
        remedy = "a unit has this printer already: sudo systemctl stop 'fabunit@*', then try again"
    else:
        remedy = "end the other print host (OctoPrint, Klipper, a terminal program), then try again"
    return PortError(f"{path} is in use by {names or 'another program'}", code="port_busy", remedy=remedy)
