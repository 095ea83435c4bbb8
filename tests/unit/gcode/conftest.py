from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.artefact import Prepared
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.gcode.prepare import prepare


@pytest.fixture
def profile() -> PrinterProfile:
    """A 220 mm machine: hotend up to 260 °C, bed up to 110 °C, no chamber, one extruder."""
    return PrinterProfile(
        name="test-220",
        title="Test printer",
        digest="0" * 64,
        volume_mm=(220.0, 220.0, 250.0),
        nozzle_mm=0.4,
        extruders=1,
        hotend=HeaterLimits(260.0),
        bed=HeaterLimits(110.0),
        chamber=None,
        max_speed_mm_s={"x": 300.0, "y": 300.0, "z": 12.0, "e": 120.0},
        max_acceleration_mm_s2={"x": 3000.0, "y": 3000.0, "z": 200.0, "e": 5000.0},
        jerk_mm_s={"x": 8.0, "y": 8.0, "z": 0.4, "e": 5.0},
    )


class Gate:
    """Runs the gate over text; the prepared bytes are in `output` (None when refused)."""

    def __init__(self, directory: Path, profile: PrinterProfile) -> None:
        self.directory = directory
        self.profile = profile
        self.output: bytes | None = None

    def __call__(self, text: str | bytes, dialect: str = "marlin") -> Prepared:
        source = self.directory / "source.gcode"
        source.write_bytes(text.encode() if isinstance(text, str) else text)
        out_dir = self.directory / "prepared"
        out_dir.mkdir(exist_ok=True)
        result = prepare(source, out_dir, self.profile, dialect)
        path = out_dir / f"{result.sha256}.gcode"
        self.output = path.read_bytes() if result.sha256 else None
        return result


@pytest.fixture
def gate(tmp_path: Path, profile: PrinterProfile) -> Gate:
    return Gate(tmp_path, profile)


def ids(prepared: Prepared) -> set[str]:
    return {finding.id for finding in prepared.findings}
