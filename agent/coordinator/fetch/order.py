"""One download as it crosses the pipe from the daemon to its worker. JSON both ways."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.coordinator.fetch.pace import FetchLimits


@dataclass(frozen=True, slots=True)
class Encryption:
    """How the bytes at the URL become the artefact: there are `size_bytes` of them (see sealed_files.py).

    `key` is the artefact's own key, already opened; it never touches the disk.
    """

    key: bytes = field(repr=False)
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """What to fetch: the artefact's digest and exact size, where it is, and the file to write.

    `part` may hold the beginning from an earlier attempt. `authorization` is sent to the first host only.
    `allowed` are the entries of the allow-list; `ca_file` replaces the system's certificate authorities.
    """

    url: str
    sha256: str
    size_bytes: int
    part: Path
    authorization: str = field(default="", repr=False)
    allowed: tuple[str, ...] = ()
    ca_file: str = ""
    limits: FetchLimits = field(default_factory=FetchLimits)
    encryption: Encryption | None = None

    @property
    def wire_sha256(self) -> str | None:
        """The digest of what the server sends; None for an encrypted file, which proves itself when opened."""
        return None if self.encryption else self.sha256

    @property
    def wire_size_bytes(self) -> int:
        """The size of what the server sends."""
        return self.encryption.size_bytes if self.encryption else self.size_bytes

    def to_wire(self) -> dict[str, Any]:
        """Return the order as JSON values."""
        document = asdict(self)
        document["part"] = str(self.part)
        if self.encryption:
            document["encryption"]["key"] = b64encode(self.encryption.key).decode("ascii")
        return document

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> FetchOrder:
        """Return the order `to_wire` wrote."""
        values = dict(document)
        encryption = values.pop("encryption")
        if encryption is not None:
            encryption = Encryption(**{**encryption, "key": b64decode(encryption["key"])})
        values["part"] = Path(values["part"])
        values["allowed"] = tuple(values["allowed"])
        values["limits"] = FetchLimits(**values["limits"])
        return cls(encryption=encryption, **values)
