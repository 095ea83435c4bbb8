"""The configuration file: what this unit is called, where its printer is, how its queue behaves."""

from __future__ import annotations

import hashlib
import os
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, field_validator

from agent.coordinator_settings import CoordinatorSettings
from agent.dialect_name import DIALECT_NAMES, DialectName
from agent.domain.errors import ConfigError
from agent.http_settings import HttpSettings, MetricsSettings
from agent.paths import state_dir
from agent.toml_document import KeyPath, TomlDocument, nearest
from agent.toml_validation import StrictModel, validate

ENV_PREFIX = "FABUNIT__"

_UNIT_ID = re.compile(r"[a-z0-9-]{3,64}")
_PROFILE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PORT = re.compile(r"auto|/[^\x00-\x1f]+|(?:socket|rfc2217)://[^\s/]+:\d{1,5}(?:[/?]\S*)?")
_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_MIB = 1 << 20


def default_unit_id(machine_id_files: tuple[Path, ...] = _MACHINE_ID_FILES) -> str:
    """Return `unit-` and 8 hex digits of a keyed hash of the machine id.

    machine-id(5) forbids showing the id itself. ConfigError when the machine has none.
    """
    for path in machine_id_files:
        try:
            machine_id = path.read_bytes()[:64].strip()
        except OSError:
            continue
        if machine_id and machine_id != b"uninitialized":
            return f"unit-{hashlib.blake2s(machine_id, key=b'fabunit unit id', digest_size=4).hexdigest()}"
    raise ConfigError(
        "unit.id is not set and this machine has no /etc/machine-id to derive it from",
        remedy="set id in the [unit] section of the configuration",
    )


class UnitSettings(StrictModel):
    """`[unit]`: the identity of this unit and the place of its state."""

    id: str = Field(
        default_factory=default_unit_id,
        description="3 to 64 lower-case letters, digits and '-'; default: derived from the machine id",
    )
    name: str = Field(
        default="", max_length=80, description="text for people, at most 80 characters; default: the id"
    )
    state_dir: Annotated[Path, Field(strict=False)] = Field(
        default_factory=state_dir, description="absolute path of the directory for database and files"
    )

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if not _UNIT_ID.fullmatch(value):
            raise ValueError("a unit id has 3 to 64 lower-case letters, digits and '-'")
        return value

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("control characters are not allowed in a name")
        return value

    @field_validator("state_dir")
    @classmethod
    def _check_state_dir(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("the path must be absolute, a daemon has no current directory to rely on")
        return value

    @property
    def title(self) -> str:
        """What to show to people: the name, else the id."""
        return self.name or self.id


class PrinterSettings(StrictModel):
    """`[printer]`: how to reach the printer and which machine it is."""

    port: str = Field(
        default="auto",
        description="'auto', a device path such as /dev/serial/by-id/..., socket://host:port or rfc2217://host:port",
    )
    baud: Literal["auto"] | int = Field(
        default="auto", description="'auto' or a rate from 1200 to 4000000 such as 115200"
    )
    profile: str = Field(
        default="generic-220",
        description="a profile such as generic-220, prusa-mk3s, ender-3, corexy-300 or mini-120",
    )
    dialect: DialectName = Field(default="auto", description=DIALECT_NAMES)
    dead_man_s: Literal["auto"] | int = Field(
        default="auto",
        description="'auto', 0 (never), or the seconds of stillness, 120 to 86400, after which the firmware itself "
        "switches everything off during a print",
    )
    resume_gap_s: int = Field(
        default=60,
        ge=0,
        le=3600,
        description="a print that was left alone for longer, 0 to 3600 s, is paused and a person asked",
    )

    stop_resets: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="whether a stop also resets the board over DTR: 'auto' (where the firmware has not proven "
        "that it reads a stop while it is busy), 'always' or 'never'",
    )
    power_off: list[str] = Field(
        default_factory=list,
        max_length=32,
        description="a program with its whole path, and its arguments, that switches the printer's power off behind "
        "every emergency stop",
    )

    @field_validator("port")
    @classmethod
    def _check_port(cls, value: str) -> str:
        if not _PORT.fullmatch(value):
            raise ValueError("this is no port")
        return value

    @field_validator("power_off")
    @classmethod
    def _check_power_off(cls, value: list[str]) -> list[str]:
        if value and not value[0].startswith("/"):
            raise ValueError("the program needs its whole path")
        return value

    @field_validator("baud", mode="before")
    @classmethod
    def _check_baud(cls, value: object) -> object:
        if value == "auto" or (type(value) is int and 1200 <= value <= 4_000_000):
            return value
        raise ValueError("this is no baud rate")

    @field_validator("dead_man_s", mode="before")
    @classmethod
    def _check_dead_man(cls, value: object) -> object:
        if value == "auto" or (type(value) is int and (value == 0 or 120 <= value <= 86_400)):
            return value
        raise ValueError("this is no time for the dead-man timer")

    @field_validator("profile")
    @classmethod
    def _check_profile(cls, value: str) -> str:
        if not _PROFILE_NAME.fullmatch(value):
            raise ValueError("a profile name has lower-case letters, digits and '-'")
        return value


class QueueSettings(StrictModel):
    """`[queue]`: what happens between two prints."""

    auto_start: bool = Field(
        default=True, description="true: the next job starts when it is ready and the bed is clear; or false"
    )
    bed_clear: Literal["confirm", "eject"] = Field(
        default="confirm",
        description="'confirm' (a person clears the bed) or 'eject' (the profile's eject script does)",
    )


class LimitSettings(StrictModel):
    """`[limits]`: bounds of what this unit takes in."""

    max_artefact_bytes: int = Field(
        default=512 * _MIB,
        ge=_MIB,
        le=8192 * _MIB,
        description="largest accepted file in bytes, 1 MiB to 8 GiB",
    )
    max_jobs: int = Field(
        default=1000, ge=1, le=100_000, description="most jobs waiting in the queue, 1 to 100000"
    )
    min_free_bytes: int = Field(
        default=256 * _MIB,
        ge=0,
        le=1 << 40,
        description="free space in bytes that must be left on the disk when a job is taken",
    )


Action = Literal["print", "hold", "reject"]
_ACTIONS = "'print', 'hold' (a person decides) or 'reject'"


class CheckSettings(StrictModel):
    """`[check]`: what each verdict on a mesh does to its job."""

    printable: Action = Field(default="print", description=_ACTIONS)
    printable_with_warnings: Action = Field(default="print", description=_ACTIONS)
    undetermined: Action = Field(default="hold", description=_ACTIONS)
    not_printable: Action = Field(default="reject", description=_ACTIONS)


class SlicingSettings(StrictModel):
    """`[slicing]`: with what meshes are sliced where an order says nothing."""

    engine: Literal["auto", "prusaslicer", "curaengine", "none"] = Field(
        default="auto", description="'auto', 'prusaslicer', 'curaengine', or 'none': meshes are refused"
    )
    material: str = Field(default="pla", description="a material such as pla, petg, abs, asa, tpu or pa")
    quality: str = Field(default="standard", description="a quality such as draft, standard, fine or strong")

    @field_validator("material", "quality")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _PROFILE_NAME.fullmatch(value):
            raise ValueError("such a name has lower-case letters, digits and '-'")
        return value


class LogSettings(StrictModel):
    """`[log]`: what the daemon says."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )


class Settings(StrictModel):
    """The whole configuration; a section that is absent has its defaults."""

    unit: UnitSettings = Field(default_factory=UnitSettings, description="a table")
    printer: PrinterSettings = Field(default_factory=PrinterSettings, description="a table")
    queue: QueueSettings = Field(default_factory=QueueSettings, description="a table")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="a table")
    check: CheckSettings = Field(default_factory=CheckSettings, description="a table")
    slicing: SlicingSettings = Field(default_factory=SlicingSettings, description="a table")
    log: LogSettings = Field(default_factory=LogSettings, description="a table")
    coordinator: CoordinatorSettings = Field(default_factory=CoordinatorSettings, description="a table")
    http: HttpSettings = Field(default_factory=HttpSettings, description="a table")
    metrics: MetricsSettings = Field(default_factory=MetricsSettings, description="a table")


def load_settings(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of the file at `path` (None: only defaults), then the variables.

    `FABUNIT__SECTION__KEY` in `environ` overrides the file. ConfigError names the file, line and key (or the
    variable) and what would be valid.
    """
    document = TomlDocument.read(path) if path else TomlDocument("defaults", {}, {})
    overrides = _overrides(environ)
    data: dict[str, Any] = {
        name: dict(section) if isinstance(section, dict) else section
        for name, section in document.data.items()
    }
    unit = data.setdefault("unit", {})
    if isinstance(unit, dict):
        unit.setdefault("state_dir", state_dir(environ))
    for (section, key), (_, value) in overrides.items():
        table = data.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    names: dict[KeyPath, str] = {path_: variable for path_, (variable, _) in overrides.items()}
    return validate(document, Settings, overrides=names, data=data)


def _overrides(environ: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, object]]:
    """(section, key) → (variable, value converted to the type of the field)."""
    found: dict[tuple[str, str], tuple[str, object]] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX):
            continue
        section, separator, key = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        annotation = _annotation(variable, section, key if separator else "")
        found[section, key] = (variable, _converted(text, annotation))
    return found


def _annotation(variable: str, section: str, key: str) -> object:
    """Return the type of a setting; ConfigError naming the variable and the nearest valid one."""
    field = Settings.model_fields.get(section)
    model = field.annotation if field else None
    if isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields:
        return model.model_fields[key].annotation
    valid = [
        f"{ENV_PREFIX}{name.upper()}__{key_.upper()}"
        for name, section_ in Settings.model_fields.items()
        if isinstance(section_.annotation, type) and issubclass(section_.annotation, BaseModel)
        for key_ in section_.annotation.model_fields
    ]
    meant = nearest(variable, [name.lower() for name in valid])
    hint = f", did you mean {meant.upper()}?" if meant else ""
    raise ConfigError(
        f"environment variable {variable}: no such setting{hint}", remedy=f"valid: {', '.join(valid)}"
    )


def _converted(text: str, annotation: object) -> object:
    """Make the text of a variable the boolean or number that the field wants, else leave it to validation."""
    wanted = set(get_args(annotation)) if get_origin(annotation) in (types.UnionType, Union) else {annotation}
    if bool in wanted and text.lower() in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        return text.lower() in ("true", "1", "yes", "on")
    if int in wanted and re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    return text
