"""A download as a child process: `python -m agent.coordinator.fetch.worker`, order on stdin, result on stdout.

What a server sends is hostile until its digest is proven, so it is read by a process with little memory and
priority that cannot block the daemon; TLS and HTTP code leave with it. Result, one JSON document: `{"path",
"received_bytes"}`, `{"fetch_error": …}` or `{"storage_error": {"code", "message", "remedy"}}`. Progress:
lines `progress DONE SIZE` in bytes on stderr.
"""

from __future__ import annotations

import errno
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from agent.coordinator.fetch.allow_list import parse_allow_list
from agent.coordinator.fetch.connection import Dialler, Resolver, resolve
from agent.coordinator.fetch.download import download
from agent.coordinator.fetch.order import FetchOrder
from agent.domain.errors import StorageError
from agent.domain.fetching import FetchError
from agent.worker.limits import lower, yield_to_everything_else
from agent.worker.progress import ProgressWriter

MAX_MEMORY_BYTES = 256 << 20  # of address space; about 20 MiB are resident
NICENESS = 10  # a print on the same machine goes first
_MAX_FILES = 32
_SPARE_BYTES = 1 << 20


def main(
    stdin: TextIO = sys.stdin,
    stdout: TextIO = sys.stdout,
    stderr: TextIO = sys.stderr,
    resolver: Resolver = resolve,
) -> int:
    """Run one order; exit status 0 when a result or a typed error was written."""
    order = FetchOrder.from_wire(json.load(stdin))
    limit_process(order)
    json.dump(_outcome(order, stderr, resolver), stdout)
    stdout.flush()
    return 0


def limit_process(order: FetchOrder) -> None:
    """Bound memory, files and file size of this process, and make it yield to everything else."""
    yield_to_everything_else(NICENESS)
    lower(resource.RLIMIT_FSIZE, max(order.size_bytes, order.wire_size_bytes) + _SPARE_BYTES)
    lower(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    lower(resource.RLIMIT_NOFILE, _MAX_FILES)
    lower(resource.RLIMIT_CORE, 0)


def _outcome(order: FetchOrder, stderr: TextIO, resolver: Resolver) -> dict[str, Any]:
    try:
        dialler = Dialler(
            parse_allow_list(order.allowed), order.limits, ca_file=order.ca_file, resolver=resolver
        )
        received = download(order, dialler, _reporter(stderr))
        return {
            "path": str(_opened(order, is_resumed=received < order.wire_size_bytes)),
            "received_bytes": received,
        }
    except FetchError as error:
        return {"fetch_error": error.to_wire()}
    except StorageError as error:
        return {"storage_error": error.to_dict()}
    except OSError as error:
        code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "storage_failed"
        return {"storage_error": {"code": code, "message": f"{order.part}: {error}", "remedy": ""}}


def _opened(order: FetchOrder, *, is_resumed: bool) -> Path:
    """Decrypt what has arrived, if it is encrypted; returns the file that is the artefact."""
    if order.encryption is None:
        return order.part
    from agent.coordinator.sealed_files import open_file  # noqa: PLC0415 - libsodium only where it is needed

    plain = order.part.with_name(f"{order.part.name}.opened")
    try:
        open_file(order.part, plain, order.encryption.key, order.size_bytes, order.sha256)
    except FetchError as error:
        # Its beginning may be of another file, or a power cut has eaten some of it.
        error.is_transient = is_resumed
        raise
    finally:
        # A wrong key or forged file is not worth keeping, and a good one is not needed twice.
        order.part.unlink(missing_ok=True)
    return plain


def _reporter(stderr: TextIO) -> Callable[[int, int], None]:
    writer = ProgressWriter(stderr)
    return lambda done_bytes, size_bytes: writer.write(f"{done_bytes} {size_bytes}")


if __name__ == "__main__":
    sys.exit(main())
