"""Where a broker is: `mqtts://host:8883`, `mqtt://`, `wss://host/path` or `ws://`. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"mqtts": 8883, "mqtt": 1883, "wss": 443, "ws": 80}
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
DEFAULT_PATH = "/mqtt"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """One broker; `path` only counts for WebSockets."""

    host: str
    port: int
    is_tls: bool
    is_websocket: bool = False
    path: str = DEFAULT_PATH

    @property
    def is_loopback(self) -> bool:
        """Tell whether the broker runs on this machine: the only place where plain text needs no permission."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        scheme = {(True, False): "mqtts", (False, False): "mqtt", (True, True): "wss", (False, True): "ws"}
        host = f"[{self.host}]" if ":" in self.host else self.host
        tail = self.path if self.is_websocket else ""
        return f"{scheme[self.is_tls, self.is_websocket]}://{host}:{self.port}{tail}"


def parse_address(url: str) -> BrokerAddress:
    """Return the address in a URL. ValueError with a sentence for anything that is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"this is no broker URL: {error}") from None
    if parts.scheme not in _PORTS:
        raise ValueError("a broker URL begins with mqtts://, mqtt://, wss:// or ws://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user name and password do not belong into the URL: use username and password_file")
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise ValueError("the URL has no host name")
    if parts.query or parts.fragment or (parts.path not in ("", "/") and not parts.scheme.startswith("ws")):
        raise ValueError("only WebSocket URLs have something behind the port")
    return BrokerAddress(
        host=host,
        port=port or _PORTS[parts.scheme],
        is_tls=parts.scheme in ("mqtts", "wss"),
        is_websocket=parts.scheme in ("wss", "ws"),
        path=parts.path if parts.path not in ("", "/") else DEFAULT_PATH,
    )
