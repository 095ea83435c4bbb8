"""`[http]` and `[metrics]`: the doors to the network; both are shut unless somebody opens them."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from agent.toml_validation import StrictModel

OFF = "off"
SOCKET = "socket"
_ADDRESS = re.compile(r"(?P<host>[^\s\[\]:]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")


def split_address(value: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[v6]:port`. Raises ValueError."""
    found = _ADDRESS.fullmatch(value)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise ValueError("this is no address with a port, such as 127.0.0.1:5000")
    return found["host"].strip("[]"), int(found["port"])


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HttpSettings(StrictModel):
    """`[http]`: uploads from slicers and the status page, over plain HTTP with a key."""

    listen: str = Field(
        default=OFF,
        description="'off', or the address to listen on: 127.0.0.1:5000 (this machine), 0.0.0.0:5000 (the network)",
    )
    api_key_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="a file with the key alone, 16 to 256 characters; needed to listen"
    )

    @property
    def is_on(self) -> bool:
        """Something listens."""
        return self.listen != OFF

    @property
    def address(self) -> tuple[str, int]:
        """Host and port. Only when `is_on`."""
        return split_address(self.listen)

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        if value != OFF:
            split_address(value)
        return value

    @model_validator(mode="after")
    def _check_key(self) -> HttpSettings:
        if self.is_on and self.api_key_file is None:
            raise ValueError("listen needs an api_key_file: nobody may print without a key")
        return self


class MetricsSettings(StrictModel):
    """`[metrics]`: figures for Prometheus."""

    listen: str = Field(
        default=OFF,
        description="'off', 'socket' (GET /metrics on the control socket) or a loopback address such as 127.0.0.1:9464",
    )

    @property
    def is_on(self) -> bool:
        """Somebody may read figures."""
        return self.listen != OFF

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen on, None where the control socket is enough."""
        return None if self.listen in (OFF, SOCKET) else split_address(self.listen)

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        if value not in (OFF, SOCKET) and not is_loopback(split_address(value)[0]):
            raise ValueError("figures are given to this machine only: a loopback address")
        return value
