"""The listening Unix socket: made without a moment in which the wrong people could connect."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.errors import FabunitError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

# Members of the group talk to the daemon, nobody else sees the socket.
SOCKET_MODE = 0o660
PARENT_MODE = 0o750
# A live daemon accepts at once.
PROBE_TIMEOUT_S = 1.0
# sizeof(sockaddr_un.sun_path) less the closing zero.
_PATH_LIMIT_BYTES = 107


class ListenError(FabunitError):
    """The control socket cannot be made. Codes: socket_busy, socket_denied, socket_path, socket_failed."""

    code = "socket_failed"


@dataclass(slots=True)
class Listener:
    """A bound, not yet listening socket with the lock that keeps a second daemon away."""

    socket: socket.socket
    path: Path
    _lock_fd: int
    _inode: tuple[int, int]

    def close(self) -> None:
        """Close and remove the socket, unless another one stands there by now. Idempotent."""
        if self._lock_fd < 0:
            return
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._inode:
                self.path.unlink()
        os.close(self._lock_fd)
        self._lock_fd = -1


def open_listener(path: Path, *, gid: int | None = None) -> Listener:
    """Bind the control socket at `path` for group `gid` (None: the process's own). Raises ListenError.

    A leftover socket is removed only when nobody answers on it; anything else at that path is left alone.
    """
    if len(os.fsencode(path)) > _PATH_LIMIT_BYTES:
        raise ListenError(
            f"the socket path is longer than {_PATH_LIMIT_BYTES} bytes: {path}",
            code="socket_path",
            remedy="choose a shorter path with --socket or $FABUNIT_SOCKET",
        )
    try:
        path.parent.mkdir(mode=PARENT_MODE, parents=True, exist_ok=True)
        lock_fd = _lock(path)
        try:
            _remove_stale(path)
            return _bind(path, gid, lock_fd)
        except BaseException:
            os.close(lock_fd)
            raise
    except OSError as error:
        raise _explain(path, error) from error


def _lock(path: Path) -> int:
    """Take the lock beside the socket. The file stays: removed, two daemons could lock two files."""
    lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock_fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise _busy(path) from error
        raise
    return lock_fd


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(
            f"{path} exists and is not a socket",
            code="socket_path",
            remedy="move it away, or choose another path with --socket",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except (TimeoutError, BlockingIOError):  # somebody listens and does not accept: not ours to remove
            pass
    raise _busy(path)


def _bind(path: Path, gid: int | None, lock_fd: int) -> Listener:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.bind(os.fspath(path))
        # Nobody can connect before listen(), so the socket is never open to more people than meant.
        if gid is not None and path.lstat().st_gid != gid:
            os.chown(path, -1, gid, follow_symlinks=False)
        path.chmod(SOCKET_MODE)
        found = path.lstat()
    except BaseException:
        listening.close()
        raise
    return Listener(listening, path, lock_fd, (found.st_dev, found.st_ino))


def _busy(path: Path) -> ListenError:
    error = ListenError(
        f"another daemon already answers on {path}",
        code="socket_busy",
        remedy="stop it first, or give this one another path with --socket",
    )
    error.exit_code = RefusedError.exit_code
    return error


def _explain(path: Path, error: OSError) -> ListenError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ListenError(
            f"the control socket {path} cannot be made: {reason}",
            code="socket_denied",
            remedy="run the daemon as a service, or choose your own path with --socket or $FABUNIT_SOCKET",
        )
    return ListenError(
        f"the control socket {path} cannot be made: {reason}", remedy="check the path and the disk"
    )
