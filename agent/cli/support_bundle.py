"""`fabunit support-bundle`: one file for whoever helps."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from agent.cli.doctor import subject
from agent.cli.session import Session, daemon_command
from agent.cli.wording import size


@click.command("support-bundle")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write. Default: fabunit-support-UNIT-TIME.tar.gz here.",
)
@click.option(
    "--with-artefacts", is_flag=True, help="Also the files of jobs, newest first, as far as they fit."
)
@daemon_command
def support_bundle(session: Session, output: Path | None, with_artefacts: bool) -> None:
    """Pack configuration, findings of the doctor, logs, transcript and events into one file.

    Passwords, keys and tokens are taken out. Works with the daemon down; run it with sudo to read the state directory.
    """
    from agent.control.client import ControlClient
    from agent.domain.errors import FabunitError
    from agent.ops.bundle.archive import Archive
    from agent.ops.bundle.collection import collect, known_secrets
    from agent.ops.doctor.examination import examine

    asked = subject(session)
    client = ControlClient(asked.socket)

    def fetch(path: str) -> dict[str, Any] | None:
        if asked.status is None:
            return None
        try:
            return client.get(path)
        except FabunitError:
            return None

    unit = (asked.configured or asked.defaults).unit_id
    name = f"fabunit-support-{unit}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    path = output or Path(f"{name}.tar.gz")
    report = examine(asked, with_slicers=True)
    with Archive(path, name, known_secrets(asked, os.environ)) as archive:
        collect(archive, asked, report, fetch, environ=os.environ, with_artefacts=with_artefacts)
    written_bytes = path.stat().st_size
    document = {"path": str(path.absolute()), "bytes": written_bytes, "contents": archive.contents}
    session.show(
        document,
        f"{path} ({size(written_bytes)}, {len(archive.contents)} parts, secrets taken out)\n"
        "look through it before you pass it on: it names your files and printers",
    )
