"""An invitation to join a coordinator: one line that survives being read aloud, typed and pasted. Pure.

`fabunit-join,1,URL,UNIT,SECRET,CA,JOIN,CHECK`: the broker's URL, the unit's id there, a secret that can be used once,
the SHA-256 of the broker's certificate authority in hexadecimal (`-`: a public one), the HTTP address where the secret
is exchanged (joining.py), and four hexadecimal digits that show a line that was not copied whole.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.coordinator.broker_address import parse_address
from agent.coordinator.topics import UNIT_ID
from agent.domain.errors import UsageError

_HEAD = ("fabunit-join", "1")
_SECRET = re.compile(r"[a-z2-7]{26,52}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the line says. `ca_sha256` is None where the broker's certificate is from a public authority."""

    url: str
    unit: str
    secret: str
    ca_sha256: str | None
    join_url: str

    def line(self) -> str:
        """Return the invitation as its one line."""
        body = ",".join((*_HEAD, self.url, self.unit, self.secret, self.ca_sha256 or "-", self.join_url))
        return f"{body},{_check(body)}"


def parse_invitation(text: str) -> Invitation:
    """Read the line; white space around and within it (a wrapped line) does not matter.

    Raises UsageError `bad_invitation` that says which part is wrong.
    """
    line = "".join(text.split())
    body, _, check = line.rpartition(",")
    parts = body.split(",")
    if len(line) > _LONGEST or tuple(parts[:2]) != _HEAD or len(parts) != 7:
        raise _bad("this is no invitation: it begins with 'fabunit-join,1,' and has eight parts")
    if check != _check(body):
        raise _bad("the invitation was not copied whole: its check digits do not fit")
    url, unit, secret, authority, join_url = parts[2:]
    try:
        parse_address(url)
    except ValueError as error:
        raise _bad(f"the invitation's broker: {error}") from None
    if not UNIT_ID.fullmatch(unit):
        raise _bad(f"the invitation's unit id {unit!r} is none")
    if not _SECRET.fullmatch(secret):
        raise _bad("the invitation's secret is none")
    if authority != "-" and not _FINGERPRINT.fullmatch(authority):
        raise _bad("the invitation's fingerprint is none")
    if urlsplit(join_url).scheme not in ("http", "https") or not urlsplit(join_url).hostname:
        raise _bad("the invitation's address for joining is no http:// or https:// address")
    return Invitation(url, unit, secret, None if authority == "-" else authority, join_url)


def _check(body: str) -> str:
    return f"{zlib.crc32(body.encode()) & 0xFFFF:04x}"


def _bad(message: str) -> UsageError:
    return UsageError(message, code="bad_invitation", remedy="ask the coordinator for a new one")
