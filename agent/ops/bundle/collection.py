"""What goes into a support bundle, and where the secrets are that must not."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.domain.errors import FabunitError
from agent.ops.bundle.redaction import Redactor, secret_values
from agent.ops.doctor import programs
from agent.ops.doctor.secrets import at_rest
from agent.storage.inspection import inspect, newest_events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from agent.ops.bundle.archive import Archive
    from agent.ops.doctor.examination import Subject
    from agent.ops.doctor.finding import Report

# Read from the end of each log file; three files of 1 MiB are all there is.
LOG_BYTES = 1 << 20
EVENTS = 2000
JOURNAL_LINES = 2000
# Of one secret file; a longer one is no password and no key.
_SECRET_BYTES = 64 * 1024

# What the daemon is asked for, by the name in the bundle.
DAEMON_PATHS = {
    "daemon/status.json": "/v1/status",
    "daemon/printer.json": "/v1/printer",
    "daemon/jobs.json": "/v1/jobs?all=1",
    "daemon/prints.json": "/v1/prints",
    "daemon/logs.json": "/v1/logs?n=1000",
    "daemon/transcript.json": "/v1/console/tail?n=1000",
}
_README = """A support bundle of fabunit {version}.

Secrets were taken out: the contents of every password, key and API key file the configuration names, keys in the state
directory, passwords in URLs, the queries of links, and whatever stands behind a word such as password or token. Names
of files and printers, and G-code lines of the last minutes, are in it. Look through it before you pass it on.

doctor.json      what is wrong here        config/     the configuration
daemon/          status, jobs, transcript  logs/       the daemon's log and the journal
events.json      what happened, in order   database.json  schema and row counts, no rows
versions.json    programs and packages     contents.json  what is here, and what was cut
"""


def known_secrets(subject: Subject, environ: Mapping[str, str]) -> Redactor:
    """Return a redactor that knows every secret this unit can have."""
    secrets = secret_values(environ)
    unit = subject.configured or subject.defaults
    secrets += [_text(place, _SECRET_BYTES) for path in unit.secrets for place in {path, at_rest(path)}]
    for folder in (unit.state_dir, unit.state_dir / "coordinator"):
        secrets += [_text(path, _SECRET_BYTES) for path in _matching(folder, "*.key")]
    credentials = environ.get("CREDENTIALS_DIRECTORY", "")
    if credentials.startswith("/"):
        from pathlib import Path  # noqa: PLC0415 - only under systemd

        secrets += [_text(path, _SECRET_BYTES) for path in _matching(Path(credentials), "*")]
    return Redactor.knowing(secrets)


def collect(
    archive: Archive,
    subject: Subject,
    report: Report,
    fetch: Callable[[str], dict[str, Any] | None],
    *,
    environ: Mapping[str, str],
    with_artefacts: bool = False,
    run: Callable[[Sequence[str]], str | None] = programs.ask,
) -> None:
    """Fill the archive; what cannot be read is left out and named in `contents.json`."""
    archive.text("README.txt", _README.format(version=__version__))
    archive.document("doctor.json", report.to_document())
    archive.document("versions.json", _versions(run))
    archive.document("environment.json", _environment(environ))
    if subject.config is not None:
        archive.text(f"config/{subject.config.name}", _text(subject.config, LOG_BYTES))
    for name, path in DAEMON_PATHS.items():
        document = fetch(path)
        if document is not None:
            archive.document(name, document)
    unit = subject.configured or subject.defaults
    _state(archive, unit.state_dir, with_artefacts=with_artefacts)
    name = subject.config.stem if subject.config else "*"
    journal = run(
        [
            "journalctl",
            f"--unit=fabunit@{name}",
            f"--lines={JOURNAL_LINES}",
            "--no-pager",
            "--output=short-iso",
        ]
    )
    if journal:
        archive.text("logs/journal.txt", journal)
    archive.document("contents.json", archive.contents)


def _state(archive: Archive, state_dir: Path, *, with_artefacts: bool) -> None:
    for path in _matching(state_dir / "logs", "*.log*"):
        archive.text(f"logs/{path.name}", _tail(path))
    database = state_dir / "fabunit.db"
    if database.exists():
        try:
            archive.document("database.json", _database(database))
            archive.document("events.json", newest_events(database, EVENTS))
        except FabunitError as error:
            archive.document("database.json", error.to_dict())
    archive.document("state_dir.json", _listing(state_dir))
    if with_artefacts:
        newest = sorted(_matching(state_dir / "artefacts", "??/*"), key=lambda path: -path.stat().st_mtime)
        for path in newest:
            archive.file(f"artefacts/{path.name}", path)


def _database(path: Path) -> dict[str, Any]:
    found = inspect(path)
    return {
        "verdict": found.verdict,
        "schema_version": found.schema_version,
        "rows": found.tables,
        "bytes": found.page_size * found.page_count,
        "schema": list(found.ddl),
    }


def _versions(run: Callable[[Sequence[str]], str | None]) -> dict[str, Any]:
    packages = {
        str(found.metadata["Name"]): found.version
        for found in metadata.distributions()
        if found.metadata["Name"]
    }
    return {
        "fabunit": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "systemd": (run(["systemctl", "--version"]) or "").partition("\n")[0],
        "packages": dict(sorted(packages.items())),
    }


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return fabunit's and systemd's own variables; nothing else of a person's environment belongs here."""
    own = (
        "FABUNIT",
        "XDG_",
        "STATE_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "CONFIGURATION_DIRECTORY",
        "LANG",
        "TERM",
    )
    return {name: value for name, value in sorted(environ.items()) if name.startswith(own)}


def _listing(folder: Path) -> list[dict[str, Any]]:
    found = []
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files)[:1000]:
            path = os.path.join(root, name)  # noqa: PTH118 - os.walk gives strings
            try:
                facts = os.stat(path, follow_symlinks=False)  # noqa: PTH116
            except OSError:
                continue
            found.append(
                {
                    "path": os.path.relpath(path, folder),
                    "bytes": facts.st_size,
                    "mode": f"{facts.st_mode & 0o7777:03o}",
                }
            )
        if len(found) > 5000:
            break
    return found


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    except OSError:
        return []


def _text(path: Path, limit_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes).decode("utf-8", "replace")
    except OSError:
        return ""


def _tail(path: Path) -> str:
    """Return the end of a file from a line's beginning on: half a line could hold half a secret."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - LOG_BYTES)
            file.seek(start)
            data = file.read(LOG_BYTES)
    except OSError:
        return ""
    if start:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")
