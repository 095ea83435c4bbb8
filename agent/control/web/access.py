"""Who may come in over the network: whoever has the key. And how often somebody may try."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.errors import ConfigError, FabunitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COOKIE = "fabunit"
# Read by no page of another origin, so that a form there cannot set it: the mark of a request from our own page.
MARK_HEADER = "x-fabunit"
KEY_CHARS = (16, 256)
_KEY_FILE_BYTES = 4096
_OTHERS = 0o077
_SESSION = b"fabunit web session 1"


class LockedError(FabunitError):
    """Nobody, or somebody unknown, asks."""

    code = "unauthorised"
    exit_code = 4
    http_status = 403


class TooManyError(FabunitError):
    """Somebody asks too often."""

    code = "too_many_requests"
    exit_code = 4
    http_status = 429


def read_key(path: Path) -> str:
    """Return the key in a file. Raises ConfigError `api_key` for one that is missing, short, or open to others."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            text = os.read(descriptor, _KEY_FILE_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _bad_key(f"{path} cannot be read: {error.strerror or error}", path) from error
    if mode & _OTHERS:
        raise ConfigError(
            f"others on this machine may read the API key in {path}",
            code="api_key",
            remedy=f"sudo chmod 600 {path}",
        )
    key = text.decode("utf-8", "replace").strip()
    if (
        not KEY_CHARS[0] <= len(key) <= KEY_CHARS[1]
        or not key.isascii()
        or not key.isprintable()
        or " " in key
    ):
        raise _bad_key(
            f"{path} holds no key of {KEY_CHARS[0]} to {KEY_CHARS[1]} printable ASCII characters", path
        )
    return key


@dataclass(frozen=True, slots=True)
class Keyring:
    """The one key. A session is a value derived from it: it outlives a restart and any jump of the clock."""

    key: str

    @property
    def session(self) -> str:
        """What the cookie of a logged-in browser holds; a new key ends all sessions."""
        return hmac.new(self.key.encode(), _SESSION, hashlib.sha256).hexdigest()

    def fits(self, given: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.key.encode())

    def check(self, method: str, headers: Mapping[str, str], cookie: str | None) -> None:
        """Raise LockedError for a request that may not come in; `headers` by lower-case name.

        A program proves itself with the key in `X-Api-Key` or as a bearer token. A browser has the cookie; for anything
        but reading it must also carry our page's mark and come from our own origin, which no other site can do.
        """
        given = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        if given:
            if not self.fits(given):
                raise LockedError(
                    "this API key is not the unit's", remedy="take the key from the unit's key file"
                )
            return
        if not cookie or not hmac.compare_digest(cookie.encode("utf-8", "replace"), self.session.encode()):
            raise LockedError("a key is needed", code="login_needed", remedy="log in, or send X-Api-Key")
        if method not in ("GET", "HEAD") and not _is_own_page(headers):
            raise LockedError("this request does not come from the unit's own page", code="foreign_page")


def _is_own_page(headers: Mapping[str, str]) -> bool:
    if headers.get(MARK_HEADER) != "1" or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _bearer(value: str) -> str:
    kind, _, token = value.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _bad_key(message: str, path: Path) -> ConfigError:
    return ConfigError(
        message,
        code="api_key",
        remedy=f"make one: openssl rand -hex 24 | sudo install -m 600 -o fabunit /dev/stdin {path}",
    )


class RateLimit:
    """Token buckets per client; event loop only. At most `clients` are remembered, the longest silent are forgotten."""

    def __init__(self, burst: int, per_s: float, *, what: str, clients: int = 256) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._what = what
        self._clients = clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now_s: float) -> None:
        """Count one. Raises TooManyError."""
        level = self._level(client, now_s)
        if level < 1:
            self._buckets[client] = (level, now_s)
            wait_s = max(1, round((1 - level) / self._per_s))
            raise TooManyError(f"too many {self._what}", remedy=f"try again in {wait_s} s")
        self._buckets[client] = (level - 1, now_s)
        self._buckets.move_to_end(client)
        while len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)

    def demand(self, client: str, now_s: float) -> None:
        """Raise TooManyError where nothing is left, without counting."""
        if self._level(client, now_s) < 1:
            raise TooManyError(f"too many {self._what}", remedy="try again in a minute")

    def _level(self, client: str, now_s: float) -> float:
        level, at_s = self._buckets.get(client, (self._burst, now_s))
        return min(self._burst, level + (now_s - at_s) * self._per_s)


class UploadSlots:
    """Files that may come in at the same time; each holds a connection and writes to the one disk."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def __enter__(self) -> None:
        if self._taken >= self._limit:
            raise TooManyError(
                f"{self._limit} uploads are running already", remedy="try again when one is done"
            )
        self._taken += 1

    def __exit__(self, *_: object) -> None:
        self._taken -= 1


def refused(message: str, remedy: str = "") -> RefusedError:
    """Build the answer to what this listener never does."""
    return RefusedError(message, code="not_over_the_network", remedy=remedy)
