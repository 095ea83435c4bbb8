"""`fabunit print`: files become jobs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.follow import follow, outcome_code
from agent.cli.given_file import demand_file
from agent.cli.jobs import job_line
from agent.cli.session import Session, WholeNumber, daemon_command
from agent.cli.wording import percent, printable
from agent.domain.errors import ArtefactError, FabunitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.control.client import ControlClient, Document

# Smaller files are there before a progress display would be seen.
_PROGRESS_BYTES = 20_000_000


@click.command("print")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "-c",
    "--copies",
    type=WholeNumber(1, 999),
    default=1,
    metavar="N",
    show_default=True,
    help="Copies of each.",
)
@click.option("--material", metavar="NAME", help="The material it is meant for.")
@click.option("--quality", metavar="NAME", help="The quality to slice with.")
@click.option(
    "--priority",
    type=WholeNumber(-100, 100),
    default=0,
    metavar="N",
    show_default=True,
    help="Higher goes first.",
)
@click.option("--hold", is_flag=True, help="Add, but do not print before `fabunit job release`.")
@click.option(
    "--wait", is_flag=True, help="Follow the jobs to their end; the exit code tells how they ended."
)
@daemon_command
def print_files(
    session: Session,
    *,
    files: tuple[Path, ...],
    copies: int,
    material: str | None,
    quality: str | None,
    priority: int,
    hold: bool,
    wait: bool,
) -> int:
    """Add FILEs as jobs, in this order. All of them are looked at before the first is sent."""
    for file in files:
        _check(file)
    client = session.client()
    options = {"copies": copies, "material": material, "quality": quality, "priority": priority, "hold": hold}
    added = [_send(session, client, file, options) for file in files]
    if not session.as_json:
        for job in added:
            click.echo(job_line(job))
    if wait:
        added = follow(client, [job["job_id"] for job in added], quiet=session.as_json)
    session.show({"jobs": added}, "")
    return outcome_code(added) if wait else 0


def _check(file: Path) -> None:
    if demand_file(file) == 0:
        raise ArtefactError(f"{file} is empty", code="empty_file", remedy="slice it again")


def _send(session: Session, client: ControlClient, file: Path, options: dict[str, Any]) -> Document:
    try:
        with file.open("rb") as source:
            size_bytes = os.fstat(source.fileno()).st_size
            on_progress = _progress(session, file.name, size_bytes)
            return client.upload(
                "/v1/jobs", source, size_bytes, on_progress=on_progress, name=file.name, **options
            )
    except OSError as error:
        raise FabunitError(f"{file}: {error.strerror}", code="unreadable", remedy="check the file") from error


def _progress(session: Session, name: str, size_bytes: int) -> Callable[[int], None] | None:
    """Return what shows how much of a big file is sent; nothing where nobody watches."""
    is_watched = sys.stderr.isatty() and not session.as_json
    if not is_watched or size_bytes <= _PROGRESS_BYTES:
        return None

    def progress(sent_bytes: int) -> None:
        end = "\n" if sent_bytes >= size_bytes else ""
        click.echo(
            f"\r\x1b[Ksending {printable(name)}  {percent(sent_bytes / size_bytes)}{end}", err=True, nl=False
        )

    return progress
