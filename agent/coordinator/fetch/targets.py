"""URLs of artefacts: taken apart strictly, so that what is checked is what is connected to. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urljoin, urlsplit

from agent.coordinator.fetch.addresses import IPAddress, parse_address
from agent.domain.fetching import FetchError

# Long enough for a pre-signed URL of any object store; short enough for every server's request line.
MAX_URL_CHARS = 4096
_MAX_HOST_CHARS = 253
_PORTS = {"http": 80, "https": 443}
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# Resolvers read `127.1`, `2130706433` and `0x7f.1` as IPv4: a name whose last label looks so is none.
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes. `host` is lower-case ASCII, an address without brackets; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def address(self) -> IPAddress | None:
        """The address when the URL names one instead of a host."""
        return parse_address(self.host)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are bound to."""
        return (self.scheme, self.host, self.port)

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """The whole URL in its plain form."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def shown(self) -> str:
        """The URL for logs and messages: without the query, which may hold a token."""
        return self.url.partition("?")[0]


def parse_target(url: str) -> Target:
    """Take a URL apart. Raises FetchError `bad_url` for anything but a plain http or https URL.

    Refused are user names, fragments-only tricks with backslashes or blanks, zones, and hosts that are
    neither a DNS name nor an address in its usual form.
    """
    if len(url) > MAX_URL_CHARS or not _VISIBLE_ASCII.fullmatch(url) or "\\" in url:
        raise _bad("the URL is empty, too long, or has characters that must be percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _bad(f"the URL cannot be read: {error}") from None
    if parts.scheme not in _PORTS:
        raise _bad(f"the URL scheme is {parts.scheme[:20]!r}; http and https are possible")
    if "@" in parts.netloc:
        raise _bad("the URL holds a user name; give credentials in the job document")
    if port == 0:
        raise _bad("port 0 cannot be connected to")
    path = parts.path or "/"
    return Target(
        parts.scheme,
        _host(parts),
        port or _PORTS[parts.scheme],
        f"{path}?{parts.query}" if parts.query else path,
    )


def redirected(target: Target, location: str) -> Target:
    """Return where a redirect leads. Raises FetchError `redirect_refused`, also for https → http."""
    try:
        new = parse_target(urljoin(target.url, location) if _VISIBLE_ASCII.fullmatch(location) else location)
    except (FetchError, ValueError) as error:
        raise FetchError(
            f"{target.shown} redirects to a place that cannot be used: {error}",
            code="redirect_refused",
            remedy="the coordinator must give a URL that leads to the file",
        ) from None
    if target.is_encrypted and not new.is_encrypted:
        raise FetchError(
            f"{target.shown} redirects from https to http",
            code="redirect_refused",
            remedy="the coordinator must give a URL that stays with https",
        )
    return new


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").removesuffix(".")
    if "[" in parts.netloc or "]" in parts.netloc:
        address = parse_address(host)
        if not isinstance(address, IPv6Address) or address.scope_id is not None:
            raise _bad(f"{host[:80]!r} is no IPv6 address")
        return str(address)
    if _NUMERIC_END.fullmatch(host):
        address = parse_address(host)
        if address is None:
            raise _bad(f"{host[:80]!r} is no IPv4 address in its usual form")
        return str(address)
    if len(host) > _MAX_HOST_CHARS or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise _bad(f"{host[:80]!r} is no host name")
    return host


def _bad(message: str) -> FetchError:
    return FetchError(message, code="bad_url", remedy="the coordinator must give a plain http or https URL")
