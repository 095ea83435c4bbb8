"""Writing several files so that a stop in the middle leaves none of them half-written."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.domain.errors import RefusedError, StorageError


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be; `may_replace` an older one of that name."""

    path: Path
    content: str
    mode: int = 0o644
    may_replace: bool = False


def write_all(files: Sequence[NewFile]) -> None:
    """Put every file in its place, in this order: the one that makes the others count comes last.

    All are written and flushed under other names first. Raises RefusedError `exists`, StorageError; then nothing is
    left of those that are not in place yet.
    """
    fresh: list[tuple[Path, NewFile]] = []
    try:
        for file in files:
            if not file.may_replace and os.path.lexists(file.path):
                raise _exists(file.path)
            fresh.append((_prepare(file), file))
        for path, file in fresh:
            _place(path, file)
    except OSError as error:
        raise StorageError(
            f"{error.filename or files[-1].path} cannot be written: {error.strerror or error}",
            remedy="use sudo, or name another place with --config; is the disk full?",
        ) from error
    finally:
        for path, _ in fresh:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is over."""
    pending: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _: pending.append(received))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for received in pending[:1]:
        signal.raise_signal(received)


def _prepare(file: NewFile) -> Path:
    file.path.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.path.with_name(f".{file.path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(file.content.encode())
            out.flush()
            os.fchmod(out.fileno(), file.mode)
            os.fsync(out.fileno())
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return fresh


def _place(fresh: Path, file: NewFile) -> None:
    if file.may_replace:
        fresh.replace(file.path)
    else:
        try:
            os.link(fresh, file.path)  # unlike a rename it never replaces what came there meanwhile
        except FileExistsError:
            raise _exists(file.path) from None
    folder = os.open(file.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _exists(path: Path) -> RefusedError:
    return RefusedError(
        f"{path} exists", code="exists", remedy="name another unit with --id, or take --replace"
    )
