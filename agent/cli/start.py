"""Where the process begins: the daemon goes its own way, without the library that reads command lines.

What `fabunit run` is mostly called with needs no library, and the daemon would carry its 1 MiB for as long as it lives.
Everything else, `fabunit run --help` and its mistakes included, goes to `agent.cli.main`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# Threads that come later share the first heap; no speed is lost under Python's lock.
_ONE_HEAP = "MALLOC_ARENA_MAX"
_SETTINGS = {
    # No plugin of another package has a say in what the daemon accepts; looking for them costs memory and time.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
    # Where Python looks anyhow; it would load how it was built, to find that out.
    "PYTHONTZPATH": "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo",
}


class RunOrder(NamedTuple):
    """`fabunit run` with the options it takes."""

    config: Path | None = None
    socket: Path | None = None
    as_json: bool = False


def main() -> None:
    """Run what the command line says and end the process with its exit code (see docs/cli.md)."""
    order = plain_run(sys.argv[1:])
    if order is None:
        from agent.cli.main import main as command_line

        command_line()
        return
    _begin_lean()
    try:
        # First: it keeps structlog, which everything below imports, from loading rich into the daemon.
        import agent.log  # noqa: F401
        from agent.app import run_daemon

        code = run_daemon(config=order.config, socket=order.socket)
    except Exception as error:  # noqa: BLE001 - the top of the process: told in the way of all commands
        from agent.cli.main import fail

        code = fail(error, as_json=order.as_json)
    sys.exit(code)


def _begin_lean() -> None:
    """Set what only the beginning of a process can, by beginning again in the same process: together 0.5 MiB less.

    With `MALLOC_ARENA_MAX` in the environment, as the systemd unit has it, the process began as it should.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if _ONE_HEAP in os.environ:
        return
    os.environ[_ONE_HEAP] = "1"
    again = [sys.executable, "-X", "no_debug_ranges", *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):  # a larger daemon is better than none
        os.execv(sys.executable, again)  # noqa: S606 - itself, with the words it was called with


def plain_run(arguments: Sequence[str]) -> RunOrder | None:
    """Read `run` with `--config PATH`, `--socket PATH`, `--json`; None for anything that is not exactly this."""
    if not arguments or arguments[0] != "run":
        return None
    paths: dict[str, Path] = {}
    as_json = False
    words = iter(arguments[1:])
    for word in words:
        name, is_joined, value = word.partition("=")
        if word == "--json":
            as_json = True
        elif name in ("--config", "--socket"):
            value = value if is_joined else next(words, "")
            if not value or value.startswith("-"):
                return None
            paths[name] = Path(value)
        else:
            return None
    config = paths.get("--config")
    if config is not None and config.is_dir():
        return None
    return RunOrder(config, paths.get("--socket"), as_json)
