"""Exchanging an invitation's secret for what a unit needs for good: password, authority, keys.

One POST to the invitation's address, which may be plain HTTP: both messages are encrypted and authenticated with the
secret (libsodium's secretbox), and the answer also to a key pair that the unit makes for this exchange (sealed box).
So nobody on the way reads or changes anything, and a recorded exchange cannot be opened with the secret afterwards.

    unit → {"v": 1, "unit": ID, "box": base64(secretbox(public key))}
    unit ← base64(secretbox(sealedbox(JSON)))       or HTTP 403: unknown, expired, or used already
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from agent.coordinator.invitation import Invitation
from agent.domain.errors import FabunitError, RefusedError

TIMEOUT_S = 15.0
"""For the whole exchange with a server nearby or abroad."""
MAX_MESSAGE_BYTES = 64 * 1024
_PURPOSE = b"fabunit-join-1"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Grant:
    """What the coordinator gives. `trusted_keys`: lines for the configuration; `require_signature` goes with them."""

    username: str
    password: str = ""
    ca_pem: str = ""
    trusted_keys: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    require_signature: bool = False

    def to_json(self) -> bytes:
        """Write as it is sent."""
        fields = {name: getattr(self, name) for name in Grant.__dataclass_fields__}
        return json.dumps({"v": 1, **fields}).encode()

    @staticmethod
    def from_json(data: bytes) -> Grant:
        """Read what `to_json` wrote; unknown fields do not matter. Raises ValueError."""
        found = json.loads(data)
        if not isinstance(found, dict):
            raise ValueError("no object")  # noqa: TRY004 - one kind of error for anything malformed
        texts = {name: found.get(name, "") for name in ("username", "password", "ca_pem")}
        lists = {name: found.get(name, []) for name in ("trusted_keys", "allowed_hosts")}
        if not all(isinstance(text, str) and len(text) <= MAX_MESSAGE_BYTES for text in texts.values()):
            raise ValueError("a text is none")
        if not all(
            isinstance(list_, list) and all(isinstance(t, str) for t in list_) for list_ in lists.values()
        ):
            raise ValueError("a list is none")
        return Grant(
            **texts,
            trusted_keys=tuple(lists["trusted_keys"]),
            allowed_hosts=tuple(lists["allowed_hosts"]),
            require_signature=found.get("require_signature") is True,
        )


def join(invitation: Invitation) -> Grant:
    """Redeem the invitation; it is used up when this returns. Blocks for TIMEOUT_S at most.

    Raises RefusedError `invitation_refused`, FabunitError `join_failed`.
    """
    private = PrivateKey.generate()
    answer = _post(invitation, _request(invitation, private))
    try:
        sealed = SecretBox(_key(invitation.secret)).decrypt(base64.b64decode(answer, validate=True))
        grant = Grant.from_json(SealedBox(private).decrypt(sealed))
    except (CryptoError, binascii.Error, ValueError):
        raise FabunitError(
            f"what answers at {invitation.join_url} does not know the invitation's secret",
            code="join_failed",
            remedy="check the address with the coordinator; the invitation may have been tampered with",
        ) from None
    _check_authority(invitation, grant)
    return grant


def open_request(data: bytes, secret: str) -> bytes | None:
    """Coordinator's side: return the public key in a request that knows `secret`, None for any other."""
    try:
        key = SecretBox(_key(secret)).decrypt(base64.b64decode(json.loads(data)["box"], validate=True))
    except (CryptoError, binascii.Error, ValueError, KeyError, TypeError):
        return None
    return key if len(key) == _KEY_BYTES else None


def answer_request(grant: Grant, public_key: bytes, secret: str) -> bytes:
    """Coordinator's side: return the body of the answer."""
    sealed = SealedBox(PublicKey(public_key)).encrypt(grant.to_json())
    return base64.b64encode(SecretBox(_key(secret)).encrypt(sealed))


def fingerprint(ca_pem: str) -> str:
    """Return the SHA-256 of the first certificate. Raises ValueError when there is none."""
    return hashlib.sha256(
        ssl.PEM_cert_to_DER_cert(ca_pem[: ca_pem.index("-----END CERTIFICATE-----") + 25])
    ).hexdigest()


def _key(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=SecretBox.KEY_SIZE, person=_PURPOSE).digest()


def _request(invitation: Invitation, private: PrivateKey) -> bytes:
    box = SecretBox(_key(invitation.secret)).encrypt(bytes(private.public_key))
    return json.dumps({"v": 1, "unit": invitation.unit, "box": base64.b64encode(box).decode()}).encode()


def _post(invitation: Invitation, body: bytes) -> bytes:
    parts = urlsplit(invitation.join_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection: Any = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", parts.path or "/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer: bytes = response.read(MAX_MESSAGE_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise FabunitError(
            f"the coordinator at {invitation.join_url} cannot be reached: {error}",
            code="join_failed",
            remedy="check the network; the invitation is still good",
        ) from error
    finally:
        connection.close()
    if response.status == http.HTTPStatus.FORBIDDEN:
        raise RefusedError(
            "the coordinator does not take the invitation: it was used already, is too old, or not from there",
            code="invitation_refused",
            remedy="ask the coordinator for a new one",
        )
    if response.status != http.HTTPStatus.OK:
        raise FabunitError(
            f"{invitation.join_url} answers {response.status}: is that the coordinator?", code="join_failed"
        )
    return answer


def _check_authority(invitation: Invitation, grant: Grant) -> None:
    if invitation.ca_sha256 is None:
        return
    try:
        found = fingerprint(grant.ca_pem)
    except ValueError:
        found = ""
    if found != invitation.ca_sha256:
        raise FabunitError(
            "the authority's certificate is not the one that the invitation names",
            code="join_failed",
            remedy="ask the coordinator for a new invitation",
        )
