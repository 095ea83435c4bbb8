"""PrusaSlicer's own files: a flat `.ini`, or a vendor bundle with sections that inherit from each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from agent.domain.errors import ConfigError, NotFoundError
from agent.toml_document import nearest

VENDOR_DIRS = (
    Path("/usr/share/PrusaSlicer/profiles"),
    Path("/usr/local/share/PrusaSlicer/profiles"),
)
_MAX_BYTES = 32 << 20  # the largest bundle in Debian has 3 MB
_MAX_DEPTH = 32
_SECTION = re.compile(r"\[(\w+)(?::(.*))?\]\s*")
_ENTRY = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s?(.*)")


@dataclass(frozen=True, slots=True)
class PresetFile:
    """`flat`: settings outside of any section. `presets`: (kind, name) → its own settings, inheritance unresolved."""

    source: str
    flat: dict[str, str]
    presets: dict[tuple[str, str], dict[str, str]]

    @classmethod
    def read(cls, path: Path) -> PresetFile:
        """Read a file; ConfigError when it is unreadable, too large or has no settings."""
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}", remedy="check the path") from None
        if len(raw) > _MAX_BYTES or b"\0" in raw:
            raise ConfigError(f"{path}: this is no PrusaSlicer configuration")
        return cls.parse(raw.decode("utf-8", "replace"), str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> PresetFile:
        """Parse the text of a file called `source`; same errors as `read`."""
        flat: dict[str, str] = {}
        presets: dict[tuple[str, str], dict[str, str]] = {}
        target: dict[str, str] = flat
        for line in text.splitlines():
            if line.lstrip().startswith(("#", ";")):
                continue
            if section := _SECTION.fullmatch(line):
                target = presets.setdefault((section[1], (section[2] or "").strip()), {})
            elif entry := _ENTRY.fullmatch(line):
                target[entry[1]] = entry[2].strip()
        if not flat and not presets:
            raise ConfigError(
                f"{source}: no settings of PrusaSlicer in it", remedy="export the configuration again"
            )
        return cls(source, flat, presets)

    def names(self, kind: str) -> list[str]:
        """Return the presets of a kind that are meant to be used (those in asterisks are only inherited)."""
        return sorted(name for found, name in self.presets if found == kind and not name.startswith("*"))

    def resolved(self, kind: str, name: str) -> dict[str, str]:
        """Return all settings of a preset. NotFoundError names near ones, ConfigError for a loop."""
        return self._resolved(kind, name, 0)

    def _resolved(self, kind: str, name: str, depth: int) -> dict[str, str]:
        own = self.presets.get((kind, name))
        if own is None:
            meant = nearest(name, self.names(kind))
            hint = f", did you mean {meant!r}?" if meant else ""
            raise NotFoundError(f"{self.source}: no {kind} preset {name!r}{hint}", code="profile_not_found")
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{self.source}: {kind} preset {name!r} inherits from itself")
        settings: dict[str, str] = {}
        for parent in own.get("inherits", "").split(";"):
            if parent.strip():
                settings.update(self._resolved(kind, parent.strip(), depth + 1))
        settings.update(own)
        settings.pop("inherits", None)
        return settings


def vendor_file(vendor: str, directories: tuple[Path, ...] = VENDOR_DIRS) -> Path:
    """Return the installed bundle of a vendor. NotFoundError names the installed ones."""
    found = {
        path.stem: path for directory in directories if directory.is_dir() for path in directory.glob("*.ini")
    }
    by_name = {name.lower(): path for name, path in found.items()}
    if vendor.lower() in by_name:
        return by_name[vendor.lower()]
    raise NotFoundError(
        f"no presets of {vendor!r} are installed",
        code="profile_not_found",
        remedy=f"installed: {', '.join(sorted(found)) or 'none; they come with prusa-slicer'}",
    )
