"""`down/jobs`: an order for one artefact, plain or signed; and `down/want`, the orders a unit should have."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from agent.coordinator.documents.base import (
    Document,
    DocumentError,
    JobId,
    Name,
    Problem,
    Revision,
    TimeMs,
    UnitId,
    json_object,
    validated,
)

MAX_INLINE_BYTES = 128 * 1024
MAX_COPIES = 1000
MAX_PRIORITY = 100
MAX_WANTED = 1000
_MAX_INLINE_CHARS = (MAX_INLINE_BYTES + 2) // 3 * 4
_MAX_ENVELOPE_CHARS = 250 * 1024
_SIGNATURE_BYTES = 64  # Ed25519, RFC 8032

Millimetres = Annotated[float, Field(gt=0, le=10_000)]
Celsius = Annotated[float, Field(ge=0, le=2_000)]


class EncryptionDocument(Document):
    """How the bytes at the url are encrypted: `sealed_key` is the file's key, sealed to the unit's public key."""

    scheme: Name
    sealed_key: Annotated[str, Field(min_length=1, max_length=1024)]


class ArtefactDocument(Document):
    """The file: known by its SHA-256, fetched from `url` or carried `inline` (base64, at most 128 KiB).

    `size` is in bytes. With `encryption` the bytes at the url are encrypted; `sha256` and `size` are those of
    the plain file. `authorization` is sent as that HTTP header to the url's host, and never to another.
    """

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=1, le=2**40)]
    format: Literal["gcode", "stl", "3mf", "obj", "ply"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s\x00-\x1f]+$", max_length=2048)] | None = None
    inline: Annotated[str, Field(max_length=_MAX_INLINE_CHARS)] | None = None
    name: Annotated[str, Field(max_length=200)] = ""
    encryption: EncryptionDocument | None = None
    authorization: str | None = Field(default=None, pattern=r"^[\x20-\x7e]*$", max_length=4096, repr=False)

    @field_validator("inline")
    @classmethod
    def _check_inline(cls, value: str | None) -> str | None:
        if value is not None and len(_decoded(value)) > MAX_INLINE_BYTES:
            raise ValueError(f"more than {MAX_INLINE_BYTES} bytes")
        return value

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.url is None) == (self.inline is None):
            raise ValueError("exactly one of url and inline is wanted")
        return self

    def inline_bytes(self) -> bytes | None:
        """Return the file where the document carries it."""
        return None if self.inline is None else _decoded(self.inline)


class RequireDocument(Document):
    """What the unit must be and have; what is not given is not required. A field it does not know rejects the job."""

    profiles: Annotated[list[Name], Field(max_length=50)] | None = None
    nozzle_mm: Millimetres | None = None
    volume_mm: tuple[Millimetres, Millimetres, Millimetres] | None = None
    material: Name | None = None
    color: Name | None = None
    material_g: Annotated[float, Field(ge=0, le=1e6)] | None = None
    hotend_c: Celsius | None = None
    bed_c: Celsius | None = None
    capabilities: Annotated[list[Name], Field(max_length=50)] | None = None

    @field_validator("volume_mm", mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class LimitsDocument(Document):
    """Bounds the checked G-code must keep, else the job is rejected. A field the unit does not know rejects it too."""

    max_duration_s: Annotated[float, Field(gt=0, le=1e8)] | None = None
    max_hotend_c: Celsius | None = None
    max_bed_c: Celsius | None = None
    max_filament_mm: Annotated[float, Field(gt=0, le=1e9)] | None = None


class PolicyDocument(Document):
    """How the unit handles the job: `auto_start` false holds it for a person, `erase` deletes its files afterwards."""

    auto_start: bool = True
    erase: bool = False


class JobDocument(Document):
    """One order. `(job_id, rev)` is its identity; times are Unix milliseconds.

    `sent` is when the coordinator sent it, by its own clock: it helps a unit without a synchronised one.
    """

    v: Literal[1]
    job_id: JobId
    rev: Revision = 1
    unit: UnitId
    artefact: ArtefactDocument
    material: Name | None = None
    quality: Name | None = None
    copies: Annotated[int, Field(ge=1, le=MAX_COPIES)] = 1
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    not_before: TimeMs | None = None
    expires: TimeMs | None = None
    require: RequireDocument = RequireDocument()
    limits: LimitsDocument = LimitsDocument()
    policy: PolicyDocument = PolicyDocument()
    sent: TimeMs | None = None

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.not_before is not None and self.expires is not None and self.not_before >= self.expires:
            raise ValueError("not_before is not before expires: this job could never be printed")
        return self


class SignedEnvelope(Document):
    """A document and its Ed25519 signature over exactly the bytes in `payload`; `kid` names the key."""

    kid: Annotated[str, Field(min_length=1, max_length=128)]
    sig: Annotated[str, Field(max_length=128)]
    payload: Annotated[str, Field(min_length=1, max_length=_MAX_ENVELOPE_CHARS)]

    @field_validator("sig")
    @classmethod
    def _check_sig(cls, value: str) -> str:
        if len(_decoded(value)) != _SIGNATURE_BYTES:
            raise ValueError(f"a signature has {_SIGNATURE_BYTES} bytes")
        return value

    @field_validator("payload")
    @classmethod
    def _check_payload(cls, value: str) -> str:
        _decoded(value)
        return value

    def sig_bytes(self) -> bytes:
        """Return the 64 bytes of the signature."""
        return _decoded(self.sig)

    def payload_bytes(self) -> bytes:
        """Return the signed bytes; they are a document only after the signature was verified."""
        return _decoded(self.payload)


class WantedJob(Document):
    """One job the unit should have."""

    job_id: JobId
    rev: Revision


class Want(Document):
    """`down/want`: everything the coordinator has assigned to this unit and that is not over."""

    v: Literal[1]
    jobs: Annotated[list[WantedJob], Field(max_length=MAX_WANTED)]
    sent: TimeMs | None = None


def parse_job(payload: bytes, content_type: str | None = None) -> JobDocument:
    """Return a plain job document. Raises DocumentError."""
    return job_from("job", json_object("job", payload, content_type))


def job_from(what: str, content: dict[str, Any]) -> JobDocument:
    """Return the job document in a JSON object. Raises DocumentError."""
    return validated(what, JobDocument, content)


def parse_job_message(payload: bytes, content_type: str | None = None) -> JobDocument | SignedEnvelope:
    """Return what came on `down/jobs`: an object with `sig` is the signed form. Raises DocumentError."""
    content = json_object("job", payload, content_type)
    return validated("signed job", SignedEnvelope, content) if "sig" in content else job_from("job", content)


def parse_want(payload: bytes, content_type: str | None = None) -> Want:
    """Return what came on `down/want`; an empty payload, a cleared topic, wants nothing. Raises DocumentError."""
    if not payload:
        return Want(v=1, jobs=[])
    content = json_object("want", payload, content_type)
    # One refusal by size instead of a thousand complaints about entries.
    jobs = content.get("jobs")
    if isinstance(jobs, list) and len(jobs) > MAX_WANTED:
        message = f"{len(jobs)} jobs; at most {MAX_WANTED} are taken"
        raise DocumentError("want", (Problem("jobs", message),), content)
    return validated("want", Want, content)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"no base64: {error}") from None
