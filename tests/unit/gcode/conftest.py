from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.profile import HeaterLimits, PrinterProfile
from tests.unit.gcode.gate_runner import Gate


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


@pytest.fixture
def gate(tmp_path: Path, profile: PrinterProfile) -> Gate:
    return Gate(tmp_path, profile)
