"""`fabunit run`: the daemon in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.session import Session, daemon_command


@click.command()
@daemon_command
def run(session: Session) -> int:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C. A running print survives a restart."""
    # First: it keeps structlog, which everything below imports, from loading rich into the daemon.
    import agent.log  # noqa: F401
    from agent.app import run_daemon

    return run_daemon(config=session.config, socket=_socket(session))


def _socket(session: Session) -> Path | None:
    return session.socket_path
