"""Where profiles lie: `<root>/<kind>/<name>.toml`, the maker's own roots before the bundled one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from agent.domain.errors import NotFoundError
from agent.toml_document import nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class ProfileKind(StrEnum):
    """The three layers; the value is the folder."""

    PRINTER = "printers"
    MATERIAL = "materials"
    QUALITY = "qualities"

    @property
    def noun(self) -> str:
        """What people call one of them."""
        return {"printers": "printer profile", "materials": "material", "qualities": "quality"}[self.value]


def is_profile_name(name: str) -> bool:
    """Whether the text can name a profile: lower-case letters, digits, `-`, at most 64."""
    return _NAME.fullmatch(name) is not None


def find_file(kind: ProfileKind, name: str, search: Sequence[Path]) -> Path:
    """Return the file of the first root that has it. NotFoundError (profile_not_found) names the known ones."""
    if is_profile_name(name):
        for root in search:
            path = root / kind.value / f"{name}.toml"
            if path.is_file():
                return path
    known = sorted(list_files(kind, search))
    meant = nearest(name, known)
    hint = f", did you mean {meant!r}?" if meant else ""
    raise NotFoundError(
        f"no {kind.noun} {name!r}{hint}",
        code="profile_not_found",
        remedy=f"known: {', '.join(known) or 'none'}; searched: {', '.join(str(root) for root in search)}",
    )


def list_files(kind: ProfileKind, search: Sequence[Path]) -> dict[str, Path]:
    """Return name → file; one in an earlier root hides its namesakes."""
    found: dict[str, Path] = {}
    for root in search:
        directory = root / kind.value
        for path in sorted(directory.glob("*.toml")) if directory.is_dir() else []:
            if is_profile_name(path.stem):
                found.setdefault(path.stem, path)
    return found
