"""Signed documents: Ed25519 (RFC 8032) over exactly the bytes that were sent, under keys the unit's owner trusts.

Nothing is made canonical: the envelope carries the document's bytes, and those bytes are what is verified and
then read. libsodium is loaded with the first signature, so that a unit without signed jobs never pays for it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.coordinator.documents import (
    Command,
    Document,
    DocumentError,
    JobDocument,
    SignedEnvelope,
    json_object,
    parse_command,
    parse_command_message,
    parse_job,
    parse_job_message,
)
from agent.domain.errors import ConfigError, RefusedError

KEY_BYTES = 32
ALGORITHM = "ed25519"
MAX_KEYS = 100  # more is no list of trusted keys but a mistake
_CLAIMED = {"job_id", "rev", "cmd_id"}
_KID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


class SignatureError(RefusedError):
    """A document that must not be followed.

    Codes: unsigned, unknown_key, bad_signature, wrong_unit, replayable. `claims` is what the document says of
    itself, proven by nothing: good for naming it in the answer (`job_id`, `rev`, `cmd_id`), and for nothing else.
    """

    code = "bad_signature"

    def __init__(self, message: str, *, code: str, remedy: str, claims: dict[str, Any] | None = None) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.claims = claims or {}


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys of coordinators by key id; several may be valid at once, so that keys can be changed."""

    by_id: dict[str, bytes] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_id)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Reads what comes on `down/jobs` and `down/commands`; `unit` is this unit's id.

    With `is_required` only signed documents are followed. Without it, unsigned ones are too, but a signature
    that is there must be good: a key id nobody trusts is refused either way.
    """

    keys: TrustedKeys
    unit: str
    is_required: bool = False

    def job(self, payload: bytes, content_type: str | None = None) -> JobDocument:
        """Return the order in a message. Raises DocumentError, SignatureError."""
        message = parse_job_message(payload, content_type)
        if isinstance(message, SignedEnvelope):
            document = parse_job(verified(message, self.keys))
        else:
            self._allow_unsigned("job", message)
            document = message
        self._demand_unit(document.unit, document)
        return document

    def command(self, payload: bytes, content_type: str | None = None) -> Command:
        """Return the command in a message. Raises DocumentError, SignatureError.

        A signed command must name its unit and its end: without them whoever recorded it could play it to any
        unit at any time. Within that time `cmd_id` makes it harmless.
        """
        message = parse_command_message(payload, content_type)
        if isinstance(message, SignedEnvelope):
            command = parse_command(verified(message, self.keys))
            if command.unit is None or command.expires is None:
                raise SignatureError(
                    f"the signed command {command.cmd_id} does not say for which unit or how long it is valid",
                    code="replayable",
                    remedy="sign `unit` and `expires` with every command",
                    claims=command.model_dump(include=_CLAIMED),
                )
        else:
            self._allow_unsigned("command", message)
            command = message
        if command.unit is not None:
            self._demand_unit(command.unit, command)
        return command

    def _allow_unsigned(self, what: str, document: Document) -> None:
        if self.is_required:
            raise SignatureError(
                f"the {what} is not signed",
                code="unsigned",
                remedy="this unit takes signed documents only: coordinator.require_signature",
                claims=document.model_dump(include=_CLAIMED),
            )

    def _demand_unit(self, unit: str, document: Document) -> None:
        if unit != self.unit:
            raise SignatureError(
                f"the document is for {unit}, this unit is {self.unit}",
                code="wrong_unit",
                remedy="the coordinator must send each unit its own documents",
                claims=document.model_dump(include=_CLAIMED),
            )


def verified(envelope: SignedEnvelope, keys: TrustedKeys) -> bytes:
    """Return the signed bytes. Raises SignatureError `unknown_key` or `bad_signature`."""
    public = keys.by_id.get(envelope.kid)
    if public is None:
        raise SignatureError(
            f"the document is signed with key {envelope.kid!r}, which this unit does not trust",
            code="unknown_key",
            remedy="add the coordinator's public key to coordinator.trusted_keys if it is to be trusted",
            claims=_claims(envelope),
        )
    payload = envelope.payload_bytes()
    if not is_signed_by(public, payload, envelope.sig_bytes()):
        raise SignatureError(
            f"the signature with key {envelope.kid!r} is not of this document",
            code="bad_signature",
            remedy="somebody changed the document on its way, or the coordinator signs with another key",
            claims=_claims(envelope),
        )
    return payload


def _claims(envelope: SignedEnvelope) -> dict[str, Any]:
    try:
        content = json_object("claims", envelope.payload_bytes())
    except DocumentError:
        return {}
    return {name: content[name] for name in _CLAIMED if isinstance(content.get(name), (str, int))}


def is_signed_by(public: bytes, payload: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64 bytes) is of `payload` under the 32 bytes of a public key."""
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415 - see the module's docstring
    from nacl.signing import VerifyKey  # noqa: PLC0415

    try:
        VerifyKey(public).verify(payload, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def signed(payload: bytes, kid: str, seed: bytes) -> SignedEnvelope:
    """Return the signed form of a document's bytes; `seed` is the 32-byte private key of key id `kid`."""
    from nacl.signing import SigningKey  # noqa: PLC0415

    signature = SigningKey(seed).sign(payload).signature
    return SignedEnvelope(kid=kid, sig=_text(signature), payload=_text(payload))


def public_key(seed: bytes) -> bytes:
    """Return the 32 bytes of the public key that belongs to a private one."""
    from nacl.signing import SigningKey  # noqa: PLC0415

    return bytes(SigningKey(seed).verify_key)


def trusted_line(kid: str, public: bytes) -> str:
    """Write a public key as a line for `coordinator.trusted_keys`."""
    return f"{ALGORITHM} {kid} {_text(public)}"


def parse_trusted_keys(entries: Iterable[str], read: Callable[[Path], str] = Path.read_text) -> TrustedKeys:
    """Read `coordinator.trusted_keys`: each entry is a line `ed25519 KID BASE64 [comment]` or a file of such lines.

    In a file empty lines and `#` comments are skipped. Raises ConfigError that names entry and line.
    """
    keys: dict[str, bytes] = {}
    for entry in entries:
        if entry.startswith(f"{ALGORITHM} "):
            _add_line(keys, entry, "coordinator.trusted_keys")
            continue
        try:
            text = read(Path(entry))
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(f"{entry} cannot be read: {error}") from None
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                _add_line(keys, line, f"{entry}, line {number}")
    return TrustedKeys(keys)


def _add_line(keys: dict[str, bytes], line: str, where: str) -> None:
    algorithm, kid, encoded = (*line.split(None, 3), "", "", "")[:3]
    if algorithm != ALGORITHM or not _KID.fullmatch(kid):
        raise _unusable(f"{where}: a key is written as `{ALGORITHM} KEY-ID BASE64`")
    try:
        public = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        public = b""
    if len(public) != KEY_BYTES:
        raise _unusable(f"{where}: the key of {kid} is not {KEY_BYTES} bytes of base64")
    if keys.get(kid, public) != public:
        raise _unusable(f"{where}: there are two different keys with the id {kid}")
    keys[kid] = public
    if len(keys) > MAX_KEYS:
        raise _unusable(f"{where}: more than {MAX_KEYS} trusted keys")


def _unusable(message: str) -> ConfigError:
    return ConfigError(
        message, code="bad_trusted_key", remedy="`fabunit coordinator key` shows the line of a coordinator"
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
