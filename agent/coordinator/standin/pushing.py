"""From files and wishes to documents in the ledger: what `push` and `command` do."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from agent.coordinator import sealed_files
from agent.coordinator.documents import (
    MAX_INLINE_BYTES,
    Command,
    JobDocument,
    job_from,
)
from agent.coordinator.key_files import load_or_create_key
from agent.coordinator.signatures import public_key, signed
from agent.coordinator.standin import orders, units
from agent.coordinator.standin.ledger import Connection, Ledger, meta
from agent.coordinator.topics import UNIT_ID
from agent.domain.errors import NotFoundError, UsageError

_FORMATS = {
    "gcode": "gcode",
    "gco": "gcode",
    "g": "gcode",
    "stl": "stl",
    "3mf": "3mf",
    "obj": "obj",
    "ply": "ply",
}
_BLOCK_BYTES = 1 << 20
_TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is ordered besides the file; times are Unix milliseconds."""

    copies: int = 1
    priority: int = 0
    material: str | None = None
    quality: str | None = None
    not_before_ms: int | None = None
    expires_ms: int | None = None
    is_held: bool = False
    is_erased: bool = False
    is_inline: bool = False
    is_encrypted: bool = False
    is_signed: bool = False
    require: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pushed:
    """A job in the ledger."""

    job_id: str
    rev: int
    unit: str
    name: str


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Return the printable files among `paths` and directly in the folders among them, in order of name.

    Raises NotFoundError, UsageError for a file no unit prints.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(entry for entry in path.iterdir() if entry.is_file() and _format(entry))
        elif not path.is_file():
            raise NotFoundError(f"{path} does not exist", code="no_file")
        elif not _format(path):
            raise UsageError(
                f"{path.name} is no file a unit prints",
                code="unsupported_format",
                remedy=f"push files that end in {', '.join(sorted(_FORMATS))}",
            )
        else:
            found.append(path)
    if not found:
        raise NotFoundError("there is no file to print", code="no_file")
    return found


def push(
    ledger: Ledger, files: Sequence[Path], unit_ids: Sequence[str], wishes: Wishes, now_ms: int
) -> list[Pushed]:
    """Put one job per file and unit on record; the server sends them. Either all of them or none.

    Raises UsageError (no URL of files yet, a malformed document), NotFoundError (a unit without a key), OSError.
    """
    for unit in unit_ids:
        if not UNIT_ID.fullmatch(unit):
            raise UsageError(f"{unit!r} is no unit id", code="bad_unit")
    pushed: list[Pushed] = []
    with ledger.transaction() as connection:
        for unit in unit_ids:
            units.met(connection, unit, now_ms)
        for file in files:
            shelf = _Shelf(ledger, connection, file)
            for unit in unit_ids:
                job = _job(shelf, connection, unit, wishes, now_ms)
                order = orders.NewOrder(
                    job.job_id, job.rev, unit, file.name, _payload(ledger, job, wishes), wishes.expires_ms
                )
                orders.add_job(connection, order, now_ms)
                pushed.append(Pushed(job.job_id, job.rev, unit, file.name))
    return pushed


def order_command(ledger: Ledger, command: Command, unit: str, *, is_signed: bool) -> None:
    """Put a command on record. Raises UsageError for an id that is none."""
    if not UNIT_ID.fullmatch(unit):
        raise UsageError(f"{unit!r} is no unit id", code="bad_unit")
    payload = command.to_json()
    if is_signed:
        payload = signed(payload, key_id(ledger), signing_key(ledger)).to_json()
    with ledger.transaction() as connection:
        orders.add_command(connection, unit, command.cmd_id, payload, command.expires or 0)


def signing_key(ledger: Ledger) -> bytes:
    """Return the coordinator's private key; it is created at its first use."""
    return load_or_create_key(ledger.path.with_name(f"{ledger.path.stem}.key"))


def key_id(ledger: Ledger) -> str:
    """Return the id of the coordinator's key: the beginning of its public key's digest."""
    return f"coordinator-{hashlib.sha256(public_key(signing_key(ledger))).hexdigest()[:12]}"


def _job(shelf: _Shelf, connection: Connection, unit: str, wishes: Wishes, now_ms: int) -> JobDocument:
    document = {
        "v": 1,
        "job_id": f"c-{secrets.token_hex(6)}",
        "unit": unit,
        "artefact": shelf.artefact(_key_of(connection, unit) if wishes.is_encrypted else "", wishes),
        "material": wishes.material,
        "quality": wishes.quality,
        "copies": wishes.copies,
        "priority": wishes.priority,
        "not_before": wishes.not_before_ms,
        "expires": wishes.expires_ms,
        "require": wishes.require,
        "limits": wishes.limits,
        "policy": {"auto_start": not wishes.is_held, "erase": wishes.is_erased},
        "sent": now_ms,
    }
    return job_from("job", document)


def _payload(ledger: Ledger, job: JobDocument, wishes: Wishes) -> bytes:
    plain = job.to_json()
    return signed(plain, key_id(ledger), signing_key(ledger)).to_json() if wishes.is_signed else plain


def _key_of(connection: Connection, unit: str) -> str:
    known = units.get(connection, unit)
    key = known.state.get("public_key") if known and known.state else None
    if not isinstance(key, str):
        raise NotFoundError(
            f"the public key of {unit} is not known",
            code="no_unit_key",
            remedy="wait until the unit was online once; a unit without a key takes no encrypted files",
        )
    return key


class _Shelf:
    """One file on its way into the folder that is served; copied once, whatever the number of units."""

    def __init__(self, ledger: Ledger, connection: Connection, file: Path) -> None:
        self._ledger = ledger
        self._connection = connection
        self._file = file
        with file.open("rb") as opened:
            self._sha256 = _digest(opened)
        self._size = file.stat().st_size
        self._token = ""

    def artefact(self, unit_key: str, wishes: Wishes) -> dict[str, Any]:
        """Describe the file for one unit; with `unit_key` it is served encrypted, for that unit alone."""
        where: dict[str, Any] = {}
        if unit_key:
            where = self._encrypted(unit_key)
        elif wishes.is_inline:
            where = {"inline": self._inline()}
        else:
            where = {"url": self._url(self._plain_token())}
        return {
            "sha256": self._sha256,
            "size": self._size,
            "format": _format(self._file),
            "name": self._file.name[:200],
            **where,
        }

    def _inline(self) -> str:
        if self._size > MAX_INLINE_BYTES:
            raise UsageError(
                f"{self._file.name} has {self._size} bytes; at most {MAX_INLINE_BYTES} go inline",
                code="too_large",
                remedy="push it without --inline",
            )
        return base64.b64encode(self._file.read_bytes()).decode("ascii")

    def _plain_token(self) -> str:
        if not self._token:
            self._token = self._sha256
            self._keep(self._token, lambda target: _copy(self._file, target))
        return self._token

    def _encrypted(self, unit_key: str) -> dict[str, Any]:
        key = secrets.token_bytes(sealed_files.KEY_BYTES)
        token = secrets.token_hex(_TOKEN_BYTES)

        def write(target: BinaryIO) -> None:
            with self._file.open("rb") as plain:
                sealed_files.seal_file(plain, target, key)

        self._keep(token, write)
        sealed_key = sealed_files.seal_key(key, unit_key)
        encryption = {"scheme": sealed_files.SCHEME, "sealed_key": sealed_key}
        return {"url": self._url(token), "encryption": encryption}

    def _url(self, token: str) -> str:
        base = meta(self._connection, "files_url")
        if base is None:
            raise UsageError(
                "nobody knows yet where units can fetch files from",
                code="no_files_url",
                remedy="start `fabunit coordinator serve` once, or push with --inline",
            )
        return f"{base}/files/{token}"

    def _keep(self, token: str, write: Any) -> None:
        target = self._ledger.files_dir / token
        if not target.exists():
            part = target.with_name(f"{token}.{os.getpid()}.part")
            with part.open("wb") as opened:
                write(opened)
                opened.flush()
                os.fsync(opened.fileno())
            part.replace(target)
        self._connection.execute(
            "INSERT OR REPLACE INTO files (token, path, size, name) VALUES (?, ?, ?, ?)",
            (token, token, target.stat().st_size, self._file.name),
        )


def _copy(file: Path, target: BinaryIO) -> None:
    with file.open("rb") as source:
        shutil.copyfileobj(source, target, _BLOCK_BYTES)


def _digest(opened: BinaryIO) -> str:
    digest = hashlib.sha256()
    for block in _blocks(opened):
        digest.update(block)
    return digest.hexdigest()


def _blocks(opened: BinaryIO) -> Iterator[bytes]:
    while block := opened.read(_BLOCK_BYTES):
        yield block


def _format(path: Path) -> str | None:
    return _FORMATS.get(path.suffix.removeprefix(".").lower())
