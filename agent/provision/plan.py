"""What setup has decided, and the configuration file that follows from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.coordinator.broker_address import parse_address
from agent.coordinator.joining import Grant
from agent.settings import Settings
from agent.slicing.toml_text import toml_text
from agent.toml_document import TomlDocument
from agent.toml_validation import validate

SYSTEM_CONFIG = Path("/etc/fabunit")
SYSTEM_STATE = Path("/var/lib/fabunit")
CREDSTORE = Path("/etc/credstore")
_HEADING = "Written by fabunit setup. Every key: docs/configuration.md; after a change restart the daemon."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit's files go. `is_service`: it is run by systemd as fabunit@NAME."""

    config: Path
    profiles: Path
    state_dir: Path | None
    is_service: bool
    unit: str

    @staticmethod
    def of_service(unit: str, etc: Path = SYSTEM_CONFIG) -> Place:
        """The places of the installed package."""
        return Place(etc / f"{unit}.toml", etc / "profiles", SYSTEM_STATE / unit, is_service=True, unit=unit)

    @staticmethod
    def of_file(config: Path, unit: str) -> Place:
        """A configuration file anywhere, for `fabunit run --config`."""
        return Place(config, config.parent / "profiles", None, is_service=False, unit=unit)

    @property
    def password(self) -> Path:
        """The file in which the broker's password is kept."""
        if self.is_service:
            return CREDSTORE / f"fabunit.{self.unit}.mqtt-password"
        return self.config.with_suffix(".mqtt-password")

    @property
    def password_seen(self) -> Path:
        """Where the daemon finds the password: inside the service it is a credential."""
        if self.is_service:
            return Path(f"/run/credentials/fabunit@{self.unit}.service/mqtt-password")
        return self.password

    @property
    def authority(self) -> Path:
        """The file of the broker's certificate authority."""
        return self.config.with_suffix(".ca.pem")

    @property
    def drop_in(self) -> Path:
        """What lets the service open a kind of port that the unit file does not name."""
        return Path(f"/etc/systemd/system/fabunit@{self.unit}.service.d/port.conf")


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """One unit; `baud` None leaves it to the daemon."""

    unit: str
    name: str
    port: str
    baud: int | None
    profile: str
    state_dir: Path | None
    url: str = ""
    is_plaintext: bool = False


def unit_id_from(text: str) -> str:
    """Return a unit id made of a printer's name; "" when nothing of it is left."""
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-")
    return made if len(made) >= 3 else ""


def config_text(plan: UnitPlan, place: Place, grant: Grant | None) -> str:
    """Return the file's content, validated as the daemon will read it. Raises ConfigError."""
    unit: dict[str, Any] = {"id": plan.unit}
    if plan.name:
        unit["name"] = plan.name
    if plan.state_dir is not None:
        unit["state_dir"] = str(plan.state_dir)
    printer: dict[str, Any] = {"port": plan.port, "profile": plan.profile}
    if plan.baud is not None:
        printer["baud"] = plan.baud
    document: dict[str, Any] = {"unit": unit, "printer": printer}
    if grant is not None:
        document["coordinator"] = _coordinator(plan, place, grant)
    text = toml_text(document, _HEADING)
    validate(TomlDocument.parse(text.encode(), str(place.config)), Settings)
    return text


def needs_plaintext(url: str) -> bool:
    """Whether everybody on the way to this broker can read along."""
    address = parse_address(url)
    return not (address.is_tls or address.is_loopback)


def _coordinator(plan: UnitPlan, place: Place, grant: Grant) -> dict[str, Any]:
    table: dict[str, Any] = {"url": plan.url, "username": grant.username}
    if grant.password:
        table["password_file"] = str(place.password_seen)
    if grant.ca_pem:
        table["ca_file"] = str(place.authority)
    if plan.is_plaintext:
        table["plaintext"] = True
    if grant.trusted_keys:
        table["trusted_keys"] = list(grant.trusted_keys)
        table["require_signature"] = grant.require_signature
    if grant.allowed_hosts:
        table["allowed_hosts"] = list(grant.allowed_hosts)
    return table
