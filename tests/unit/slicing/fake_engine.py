"""A slicing engine that does what a test wants: a small program behind the real runner."""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import paths
from agent.slicing.engine import OUTPUT_NAME, FoundEngine, Version, first_match, version_in
from agent.slicing.failure import SliceFailure
from agent.slicing.process import Ended
from agent.slicing.prusaslicer import _COMPLAINTS
from agent.slicing.setup import PrintSetup, SliceChoices, load_setup
from agent.slicing.sliced_scripts import end_lines, start_lines

BUNDLED = paths.data_dir() / "slicer_profiles"

GOOD_BODY = ["G1 Z0.2 F1000", "G1 X100 Y100 F6000", "G1 X120 Y100 E1.5 F1200", "G1 X120 Y120 E1.5", "G1 X100 Y120 E1.5",
             "G1 X100 Y100 E1.5", "G1 Z0.4", "G1 X120 Y100 E1.5", "G1 X120 Y120 E1.5"]  # fmt: skip


def setup_for(
    printer: str = "generic-220", material: str = "pla", quality: str = "standard", **choices: object
) -> PrintSetup:
    return load_setup(printer, material, quality, [BUNDLED], SliceChoices(**choices))  # type: ignore[arg-type]


def write_stl(path: Path, facets: int = 12) -> Path:
    """A binary STL of so many (meaningless) facets."""
    facet = struct.pack("<12fH", *([0.0] * 3), *(float(n) for n in range(9)), 0)
    path.write_bytes(b"fabunit".ljust(80, b" ") + struct.pack("<I", facets) + facet * facets)
    return path


@dataclass
class FakeEngine:
    """Runs `code` as a Python program in the slice's directory; `good` has the G-code of a proper print."""

    code: str
    name: str = "fake"
    programs: Sequence[str] = ("fake-slicer",)
    version_arguments: Sequence[str] = ("--version",)
    body: list[str] = field(default_factory=lambda: list(GOOD_BODY))
    finished: list[str] = field(default_factory=list)

    def found(self) -> FoundEngine:
        return FoundEngine(self.name, Path(sys.executable), (1, 0, 0), is_supported=True)

    def read_version(self, output: str) -> Version | None:
        return version_in(output)

    def is_supported(self, version: Version) -> bool:
        return version >= (1, 0, 0)

    def memory_need_bytes(self, facets: int) -> int:
        return 1 << 20

    def address_space_bytes(self, facets: int) -> int:
        return 1 << 30

    def write_inputs(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> None:
        lines = [*start_lines(setup), *self.body, *end_lines(setup)]
        (directory / "good").write_text("\n".join(lines) + "\n")
        (directory / "run.py").write_text(
            f"import os, sys, time, pathlib, shutil, signal\nOUT = {OUTPUT_NAME!r}\n{self.code}\n"
        )

    def arguments(self, found: FoundEngine, setup: PrintSetup, directory: Path) -> list[str]:
        return [str(found.path), "run.py"]

    def progress(self, line: str) -> float | None:
        return float(line[1:]) if line.startswith("@") else None

    def failure(self, ended: Ended) -> tuple[SliceFailure, str] | None:
        return first_match(ended.output, _COMPLAINTS)

    def finish(self, directory: Path, output: str) -> None:
        self.finished.append(output)

    def unechoed(self, found: FoundEngine, setup: PrintSetup, tail: str) -> list[str]:
        return ["layer_height"] if "layer_height = 9" in tail else []
