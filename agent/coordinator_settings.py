"""`[coordinator]`: which broker, who this unit is there, what it takes and allows. Absent: a stand-alone unit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from agent.coordinator.availability import parse_hours
from agent.coordinator.broker_address import BrokerAddress, parse_address
from agent.toml_validation import StrictModel

COMMANDS = (
    "pause", "resume", "cancel", "stop", "hold", "release", "retry", "start", "move", "bed_clear", "identify",
    "watch", "rebirth", "resend", "configure", "home", "heat", "cool",
)  # fmt: skip
# What moves, heats or declares a bed clear without a person beside the machine needs its owner's word.
DENIED_BY_DEFAULT = frozenset({"bed_clear", "home", "heat", "configure"})
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
AbsolutePath = Annotated[Path, Field(strict=False)]


class MaterialSettings(StrictModel):
    """One entry of `materials`: what is loaded, as far as the maker says."""

    slot: str = Field(default="T0", max_length=16, description="the tool or bay, such as 'T0'")
    material: str = Field(min_length=1, max_length=40, description="such as 'PLA' or 'PETG'")
    color: str = Field(default="", max_length=40, description="a name or '#rrggbb'")
    brand: str = Field(default="", max_length=40, description="text for people")
    left_g: float | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="grams on the spool when it was loaded; counted down by prints",
    )
    density_g_cm3: float | None = Field(
        default=None, gt=0.1, le=10, description="g/cm³, 0.1 to 10; absent: that of the material's name"
    )
    diameter_mm: float = Field(default=1.75, ge=1, le=4, description="of the strand in mm, 1 to 4")


class CoordinatorSettings(StrictModel):
    """`[coordinator]`: the link."""

    url: str = Field(
        default="",
        description="mqtts://host:8883, wss://host/path, or without TLS mqtt:// and ws://; empty: stand-alone",
    )
    more_urls: list[str] = Field(
        default_factory=list,
        max_length=8,
        description="further brokers, tried in turn when one cannot be reached",
    )
    username: str | None = Field(default=None, max_length=256, description="the user name at the broker")
    password_file: AbsolutePath | None = Field(default=None, description="a file with the password alone")
    ca_file: AbsolutePath | None = Field(
        default=None, description="certificate authorities instead of the system's (PEM)"
    )
    client_cert: AbsolutePath | None = Field(default=None, description="this unit's certificate (PEM)")
    client_key: AbsolutePath | None = Field(default=None, description="its private key (PEM)")
    client_id: str | None = Field(default=None, description="the MQTT client id; default: the unit id")
    plaintext: bool = Field(
        default=False,
        description="true allows mqtt:// and ws:// to other machines: everybody on the way can read along",
    )
    require_signature: bool = Field(default=False, description="true: only signed job documents are taken")
    trusted_keys: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="public keys: lines 'ed25519 KID BASE64' or files of such lines",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="hosts files are fetched from; see docs/coordinator.md",
    )
    artefact_ca_file: AbsolutePath | None = Field(
        default=None, description="certificate authorities for fetching files (PEM)"
    )
    allow: list[Literal[COMMANDS]] = Field(  # type: ignore[valid-type]
        default_factory=list,
        description=f"commands allowed beyond the usual: {', '.join(sorted(DENIED_BY_DEFAULT))}",
    )
    deny: list[Literal[COMMANDS]] = Field(  # type: ignore[valid-type]
        default_factory=list, description=f"commands never carried out, of {', '.join(COMMANDS)}"
    )
    accept: Literal["auto", "ask", "never"] = Field(
        default="auto",
        description="'auto', 'ask' (a person releases each job) or 'never'; outside of accept_hours",
    )
    accept_hours: list[str] = Field(
        default_factory=list,
        max_length=50,
        description="such as ['mon-fri 08-18 auto', 'sat 10-14 ask'], local time",
    )
    materials: list[MaterialSettings] = Field(
        default_factory=list, max_length=32, description="what is loaded: [{slot, material, color, left_g}]"
    )
    filament_short: Literal["warn", "reject"] = Field(
        default="warn", description="what becomes of a job that needs more than is left on its spool"
    )
    home_assistant: bool = Field(
        default=False,
        description="true: show this unit in Home Assistant by MQTT discovery on the same broker",
    )
    trust_clock: bool = Field(
        default=False,
        description="true: the clock is right although the kernel does not say so (virtual machines)",
    )

    @property
    def is_on(self) -> bool:
        """A broker is configured."""
        return bool(self.url)

    @property
    def addresses(self) -> tuple[BrokerAddress, ...]:
        """All brokers, in the order they are tried."""
        return tuple(parse_address(url) for url in (self.url, *self.more_urls))

    @property
    def allowed_commands(self) -> frozenset[str]:
        """The commands that are carried out."""
        return (frozenset(COMMANDS) - DENIED_BY_DEFAULT | set(self.allow)) - set(self.deny)

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value:
            parse_address(value)
        return value

    @field_validator("more_urls")
    @classmethod
    def _check_more_urls(cls, value: list[str]) -> list[str]:
        for url in value:
            parse_address(url)
        return value

    @field_validator("client_id")
    @classmethod
    def _check_client_id(cls, value: str | None) -> str | None:
        if value is not None and not _CLIENT_ID.fullmatch(value):
            raise ValueError("a client id has 1 to 64 letters, digits, '.', '_' and '-'")
        return value

    @field_validator("accept_hours")
    @classmethod
    def _check_hours(cls, value: list[str]) -> list[str]:
        parse_hours("auto", value)
        return value

    @field_validator("materials")
    @classmethod
    def _check_slots(cls, value: list[MaterialSettings]) -> list[MaterialSettings]:
        slots = [loaded.slot for loaded in value]
        for slot in slots:
            if slots.count(slot) > 1:
                raise ValueError(f"two materials are loaded in slot {slot!r}: give each a slot of its own")
        return value

    @field_validator("password_file", "ca_file", "client_cert", "client_key", "artefact_ca_file")
    @classmethod
    def _check_path(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("the path must be absolute, a daemon has no current directory to rely on")
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if not self.url:
            if self.model_fields_set:
                raise ValueError("url is missing: a coordinator section needs the broker's URL")
            return self
        open_ones = [
            str(address) for address in self.addresses if not (address.is_tls or address.is_loopback)
        ]
        if open_ones and not self.plaintext:
            raise ValueError(f"{open_ones[0]} has no TLS: use mqtts:// or wss://, or set plaintext = true")
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature without trusted_keys would refuse every job")
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key without client_cert")
        return self
