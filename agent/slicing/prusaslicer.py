"""PrusaSlicer 2.5 to 2.9 from Debian's packages, without a display.

Its exit status proves nothing: 2.9 ends with 0 and no file for parts off the bed, 2.5 with 0 and a file outside the
volume; unknown keys are ignored silently. So its output and its file are read for what really happened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.slicing.engine import MESH_NAME, OUTPUT_NAME, FoundEngine, Version, first_match, version_in
from agent.slicing.failure import SliceFailure
from agent.slicing.process import Ended
from agent.slicing.programs import PROGRAMS
from agent.slicing.prusaslicer_ini import ini_text, render
from agent.slicing.setup import PrintSetup

_INI_NAME = "setup.ini"
_STDBUF = Path("/usr/bin/stdbuf")
_LINE_BUFFERED_SINCE = (2, 9, 0)
_STAGE = re.compile(r"^(\d{1,3}) => ")
_SETTING = re.compile(r"^; (\w+) = ?(.*)$", re.MULTILINE)
_CONFIG_END = "; prusaslicer_config = end"
# Known to some versions only, or written in other words by 2.9 (`disabled` for 0).
_NOT_ECHOED = frozenset({
    "travel_acceleration", "binary_gcode", "print_host", "printhost_apikey", "autoemit_temperature_commands",
    "gcode_label_objects", "thumbnails", "template_custom_gcode", "gcode_substitutions", "output_filename_format",
    "post_process",
})  # fmt: skip
_COMPLAINTS: tuple[tuple[re.Pattern[str], SliceFailure], ...] = (
    (re.compile(r"could not fit on the bed|outside of the print volume|exceeds the maximum build volume"
                r"|fully or partially outside|taller than|larger than the print volume", re.IGNORECASE),
     SliceFailure.DOES_NOT_FIT),
    (re.compile(r"No layers were detected|empty (?:first )?layer|Nothing to print|no extrusions|no printable"
                r"|couldn't be sliced|The print is empty|no object", re.IGNORECASE), SliceFailure.EMPTY_RESULT),
    (re.compile(r"invalid custom G-code|Parsing error|is out of range|Invalid value|cannot be greater than"
                r"|layer height|option .* is|unknown option", re.IGNORECASE), SliceFailure.PROFILE_INVALID),
    (re.compile(r"bad_alloc|not enough memory|out of memory", re.IGNORECASE), SliceFailure.OUT_OF_MEMORY),
    (re.compile(r"No space left|disk (?:is )?full", re.IGNORECASE), SliceFailure.DISK_FULL),
    (re.compile(r"Loading of a model file failed|unable to load|no such file|failed to load|error: .*\.stl"
                r"|couldn't be read", re.IGNORECASE), SliceFailure.MESH_REJECTED),
)  # fmt: skip


class PrusaSlicer:
    """The default engine where memory allows."""

    name = "prusaslicer"
    programs: Sequence[str] = PROGRAMS["prusaslicer"]
    version_arguments: Sequence[str] = ("--help",)

    def read_version(self, output: str) -> Version | None:
        """Read `PrusaSlicer-2.5.0+UNKNOWN based on Slic3r`."""
        found = re.search(r"PrusaSlicer-(\S+)", output)
        return version_in(found[1]) if found else None

    def is_supported(self, version: Version) -> bool:
        """2.5 (Debian 12) to 2.9 (Debian 13)."""
        return (2, 5, 0) <= version < (2, 10, 0)

    def memory_need_bytes(self, facets: int) -> int:
        """Measured: 80 to 120 MiB for small parts, about 0.5 KiB per facet for scans."""
        return (120 << 20) + 600 * facets

    def address_space_bytes(self, facets: int) -> int:
        """Measured: 400 MiB suffice for ordinary parts, most of it libraries."""
        return (1536 << 20) + 2000 * facets

    def write_inputs(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> None:
        """Write the flat configuration."""
        (directory / _INI_NAME).write_text(ini_text(render(setup, found.version)), encoding="ascii")

    def arguments(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> list[str]:
        """Slice one part in the middle of the bed, with a data directory of its own."""
        width, depth, _ = setup.profile.volume_mm
        command = [
            str(found.path), "--export-gcode", "--datadir", str(directory / "data"), "--load", _INI_NAME,
            "--center", f"{width / 2:g},{depth / 2:g}", "--output", OUTPUT_NAME, MESH_NAME,
        ]  # fmt: skip
        # Before 2.9 its progress comes in one piece at the end unless standard output is line-buffered.
        if found.version < _LINE_BUFFERED_SINCE and _STDBUF.exists():
            return [str(_STDBUF), "-oL", *command]
        return command

    def progress(self, line: str) -> float | None:
        """Read `70 => Infilling layers`; the figures do not always rise."""
        found = _STAGE.match(line)
        return min(int(found[1]), 99) / 100 if found else None

    def failure(self, ended: Ended) -> tuple[SliceFailure, str] | None:
        """Look for known complaints; stages and warnings are none."""
        spoken = "\n".join(
            line for line in ended.output.splitlines() if not _STAGE.match(line) and "[trace]" not in line
        )
        return first_match(spoken, _COMPLAINTS)

    def finish(self, directory: Path, output: str) -> None:
        """Its file is complete or still called `.tmp`: nothing to mend."""
        del directory, output

    def unechoed(self, found: FoundEngine, setup: PrintSetup, tail: str) -> list[str]:
        """Compare the configuration at the end of the file with ours."""
        if not tail.rstrip().endswith(_CONFIG_END):
            return ["the configuration is missing at the end of the file"]
        echoed = dict(_SETTING.findall(tail))
        return [
            key for key, value in render(setup, found.version).items() if not _is_echoed(key, value, echoed)
        ]


def _is_echoed(key: str, value: str, echoed: Mapping[str, str]) -> bool:
    if key not in echoed:
        return key in _NOT_ECHOED
    return key in _NOT_ECHOED or _plain(echoed[key]) == _plain(value)


def _plain(value: str) -> list[float | str]:
    """Compare numbers as numbers, quoted text as text."""
    parts: list[float | str] = []
    for part in value.strip().split(","):
        try:
            parts.append(round(float(part), 6))
        except ValueError:
            parts.append(part.strip().strip('"'))
    return parts
