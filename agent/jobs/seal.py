"""Signatures under receipts: Ed25519 (RFC 8032) over exactly the bytes of the receipt as they are kept.

libsodium is loaded with the first signature: a unit without a key never pays for it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from agent.domain.errors import RefusedError, UsageError

ALGORITHM = "ed25519"


@dataclass(frozen=True, slots=True)
class ReceiptSigner:
    """Signs with the unit's key: 32 secret bytes, known to nobody else."""

    unit_id: str
    key: bytes

    def __call__(self, receipt: bytes) -> dict[str, str]:
        """Return the seal of these bytes: algorithm, unit, public key and signature, both as base64."""
        from nacl.signing import SigningKey  # noqa: PLC0415 - see the module's docstring

        signing = SigningKey(self.key)
        return {
            "alg": ALGORITHM,
            "kid": self.unit_id,
            "public_key": base64.b64encode(bytes(signing.verify_key)).decode(),
            "sig": base64.b64encode(signing.sign(receipt).signature).decode(),
        }


def verify(receipt: bytes, seal: Mapping[str, object], trusted: str = "") -> None:
    """Check a seal; `trusted`: the public key it must have been made with, as base64 (empty: the one it names).

    Raises UsageError for what is no key or seal, RefusedError `unknown_key` or `bad_signature`.
    """
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415 - see the module's docstring
    from nacl.signing import VerifyKey  # noqa: PLC0415

    named, signature = _bytes(seal.get("public_key"), 32), _bytes(seal.get("sig"), 64)
    if seal.get("alg") != ALGORITHM:
        raise UsageError(
            f"the receipt is sealed with {seal.get('alg')!r}, not with {ALGORITHM}", code="bad_seal"
        )
    if trusted and _bytes(trusted, 32) != named:
        raise RefusedError(
            "the receipt is signed with another key than the one given",
            code="unknown_key",
            remedy="it comes from another unit, or the unit's key was replaced",
        )
    try:
        VerifyKey(named).verify(receipt, signature)
    except BadSignatureError as error:
        raise RefusedError(
            "the signature is not of this receipt",
            code="bad_signature",
            remedy="it was changed after it was written",
        ) from error


def _bytes(text: object, length: int) -> bytes:
    try:
        data = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != length:
        raise UsageError(f"that is not base64 of {length} bytes: {str(text)[:60]!r}", code="bad_seal")
    return data
