"""What a slicing engine is to the rest: found, versioned, told what to do, and read for what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.slicing.failure import SliceFailure
from agent.slicing.process import Ended
from agent.slicing.setup import PrintSetup

MESH_NAME = "part.stl"
OUTPUT_NAME = "part.gcode"
Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class FoundEngine:
    """An installed engine. `is_supported` is False for versions nobody has tried with fabunit."""

    name: str
    path: Path
    version: Version
    is_supported: bool

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(str(part) for part in self.version)


class Engine(Protocol):
    """One slicing program. All methods are free of side effects but `write_inputs` and `finish`."""

    @property
    def name(self) -> str:
        """Stable name: `prusaslicer` or `curaengine`."""

    @property
    def programs(self) -> Sequence[str]:
        """Names under which it is installed, the usual one first."""

    @property
    def version_arguments(self) -> Sequence[str]:
        """Arguments that make it print its version."""

    def read_version(self, output: str) -> Version | None:
        """Return the version in that print, None when it is another program."""

    def is_supported(self, version: Version) -> bool:
        """Whether this version is known to work."""

    def memory_need_bytes(self, facets: int) -> int:
        """Resident memory that slicing so many facets takes."""

    def address_space_bytes(self, facets: int) -> int:
        """Address space it may reserve for so many facets; more than it needs resident."""

    def write_inputs(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> None:
        """Write whatever files the engine reads besides the mesh. OSError when the disk refuses."""

    def arguments(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> list[str]:
        """Return the command line: MESH_NAME in, OUTPUT_NAME out, both in `directory`."""

    def progress(self, line: str) -> float | None:
        """Return how far it is, 0 to 1, when this line of its output tells."""

    def failure(self, ended: Ended) -> tuple[SliceFailure, str] | None:
        """Return what its output says went wrong, None when it says nothing."""

    def finish(self, directory: Path, output: str) -> None:
        """Mend the output file where the engine is known to leave it unfinished. OSError when the disk refuses."""

    def unechoed(self, found: FoundEngine, setup: PrintSetup, tail: str) -> list[str]:
        """Return the settings that the end of the file shows with another value than was asked for."""


_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")


def version_in(text: str) -> Version | None:
    """Return the first version number of a text."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def first_match(
    output: str, patterns: Sequence[tuple[re.Pattern[str], SliceFailure]]
) -> tuple[SliceFailure, str] | None:
    """Return the failure of the first pattern that matches, with the line it stands on."""
    for pattern, failure in patterns:
        if found := pattern.search(output):
            start = output.rfind("\n", 0, found.start()) + 1
            end = output.find("\n", found.end())
            line = output[start : end if end >= 0 else len(output)].strip()
            return failure, "".join(char if char.isprintable() else "?" for char in line)[:200]
    return None
