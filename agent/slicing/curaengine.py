"""CuraEngine 4.13 to 5.x from Debian's packages: small, quick, and without opinions about what it is given.

It ends with 0 for garbage, for parts off the bed and for a full disk; it hangs on some meshes; the head of its file is
a placeholder, the true one is only printed. One thread gives the same output for the same input.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from agent.slicing.curaengine_settings import render
from agent.slicing.engine import MESH_NAME, OUTPUT_NAME, FoundEngine, Version, first_match, version_in
from agent.slicing.failure import SliceFailure
from agent.slicing.process import Ended
from agent.slicing.programs import PROGRAMS
from agent.slicing.setup import PrintSetup

_PROGRESS = re.compile(r"^Progress:\S+?:\d+:\d+\s+([01](?:\.\d+)?)%?")
_HEADER = re.compile(
    r"^Gcode header after slicing:\s*\n(.*?)^End of gcode header\.", re.DOTALL | re.MULTILINE
)
_HEADER_LINE = re.compile(r"^;[A-Z][\w ]{0,40}:[^\n]{0,200}$")
_HEADER_BYTES = 4096
_COMPLAINTS: tuple[tuple[re.Pattern[str], SliceFailure], ...] = (
    (
        re.compile(r"no value given|Unregistered setting|stof|stod|invalid_argument"),
        SliceFailure.PROFILE_INVALID,
    ),
    (re.compile(r"bad_alloc|length_error"), SliceFailure.OUT_OF_MEMORY),
    (re.compile(r"No space left"), SliceFailure.DISK_FULL),
    (
        re.compile(r"Failed to load model|couldn't load|Unable to read", re.IGNORECASE),
        SliceFailure.MESH_REJECTED,
    ),
)


class CuraEngine:
    """The light engine."""

    name = "curaengine"
    programs: Sequence[str] = PROGRAMS["curaengine"]
    version_arguments: Sequence[str] = ("help",)

    def read_version(self, output: str) -> Version | None:
        """Read `Cura_SteamEngine version 4.13.0`."""
        found = re.search(r"Cura_SteamEngine version (\S+)", output)
        return version_in(found[1]) if found else None

    def is_supported(self, version: Version) -> bool:
        """4.13 (Debian 12) and 5.0 (Debian 13)."""
        return (4, 13, 0) <= version < (5, 1, 0)

    def memory_need_bytes(self, facets: int) -> int:
        """Measured: 14 to 50 MiB for small parts, about 0.2 KiB per facet for scans."""
        return (40 << 20) + 250 * facets

    def address_space_bytes(self, facets: int) -> int:
        """Measured: it reserves 1.1 GiB as soon as it computes supports, of which it uses some 20 MiB."""
        return (2048 << 20) + 1000 * facets

    def write_inputs(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> None:
        """It reads no file besides the mesh."""
        del found, setup, directory

    def arguments(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> list[str]:
        """Give every setting twice, for all and for the first extruder; the engine knows no defaults."""
        del directory
        settings = [part for key, value in sorted(render(setup).items()) for part in ("-s", f"{key}={value}")]
        return [
            str(found.path), "slice", "-v", "-p", "-m1", *settings, "-e0", *settings, "-l", MESH_NAME,
            "-o", OUTPUT_NAME,
        ]  # fmt: skip

    def progress(self, line: str) -> float | None:
        """Read `Progress:export:12:100 0.93%`; the last figure is a fraction in spite of its sign."""
        found = _PROGRESS.match(line)
        return min(float(found[1]), 0.99) if found else None

    def failure(self, ended: Ended) -> tuple[SliceFailure, str] | None:
        """Look for known complaints."""
        return first_match(ended.output, _COMPLAINTS)

    def finish(self, directory: Path, output: str) -> None:
        """Put the true head, which the engine only prints, in place of the one in the file."""
        found = _HEADER.search(output)
        path = directory / OUTPUT_NAME
        if not found or not path.is_file():
            return
        header = [line for line in found[1].splitlines() if _HEADER_LINE.match(line)]
        with path.open("rb") as source:
            head = source.read(_HEADER_BYTES)
            end = head.find(b"\n\n")
            if end < 0 or not header:
                return
            source.seek(end)
            mended = directory / "mended.gcode"
            with mended.open("wb") as target:
                target.write("\n".join(header).encode("ascii", "replace"))
                shutil.copyfileobj(source, target, 1 << 20)
        mended.replace(path)

    def unechoed(self, found: FoundEngine, setup: PrintSetup, tail: str) -> list[str]:
        """It echoes nothing; what it printed is judged by the analysis alone."""
        del found, setup, tail
        return []
