"""Invitations the stand-in has given out: in its ledger until they are redeemed or too old."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from agent.coordinator.invitation import Invitation
from agent.coordinator.joining import Grant, answer_request, fingerprint, open_request
from agent.coordinator.standin.ledger import Ledger, meta, set_meta
from agent.coordinator.topics import UNIT_ID
from agent.domain.errors import RefusedError, UsageError

_PREFIX = "invitation:"
_SECRET_BYTES = 20
_PASSWORD_BYTES = 24
# mosquitto 2: PBKDF2 with SHA-512, its own number of rounds.
_ROUNDS = 101
_SALT_BYTES = 12


def invite(
    ledger: Ledger, unit: str, url: str, *, ca_pem: str, passwords: Path | None, hours: int
) -> Invitation:
    """Make an invitation for `unit`; an earlier one for it is void.

    `passwords`: mosquitto's password file, in which the unit's lasting password is entered. Raises UsageError,
    RefusedError `no_join_address` before `serve` has ever run, OSError.
    """
    if not UNIT_ID.fullmatch(unit):
        raise UsageError(f"{unit!r} is no unit id", code="bad_unit")
    files_url = meta(ledger.reading, "files_url")
    if files_url is None:
        raise RefusedError(
            "nobody could redeem it: this coordinator has no address yet",
            code="no_join_address",
            remedy="start `fabunit coordinator serve` first",
        )
    secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode().lower()
    password = secrets.token_urlsafe(_PASSWORD_BYTES) if passwords is not None else ""
    made = Invitation(url, unit, secret, fingerprint(ca_pem) if ca_pem else None, f"{files_url}/join")
    grant = Grant(unit, password, ca_pem, allowed_hosts=(made.join_url.split("/")[2].rpartition(":")[0],))
    record = {"secret": secret, "expires": time.time() + hours * 3600, "grant": grant.to_json().decode()}
    with ledger.transaction() as connection:
        set_meta(connection, _PREFIX + unit, json.dumps(record))
    if passwords is not None:
        enter_password(passwords, unit, password)
    return made


def redeem(ledger: Ledger, data: bytes, now_s: float) -> bytes | None:
    """Return the answer to a request, once; None for one that is unknown, too old or used."""
    try:
        unit = json.loads(data)["unit"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(unit, str) or not UNIT_ID.fullmatch(unit):
        return None
    with ledger.transaction() as connection:
        stored = meta(connection, _PREFIX + unit)
        record: dict[str, Any] = json.loads(stored) if stored else {}
        public_key = open_request(data, record["secret"]) if record.get("expires", 0) > now_s else None
        if public_key is None:
            return None
        connection.execute("DELETE FROM meta WHERE key = ?", (_PREFIX + unit,))
    return answer_request(Grant.from_json(record["grant"].encode()), public_key, record["secret"])


def enter_password(path: Path, unit: str, password: str) -> None:
    """Replace or add the unit's line in mosquitto's password file; the broker reads it again at SIGHUP."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    line = f"{unit}:$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
    old = path.read_text().splitlines() if path.exists() else []
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text("\n".join([*(text for text in old if not text.startswith(f"{unit}:")), line, ""]))
    fresh.chmod(mode)
    os.replace(fresh, path)  # noqa: PTH105 - replaces in one step
