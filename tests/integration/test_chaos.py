"""A short run of the chaos runner: noise both ways, a killed daemon and a pulled cable in one print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUND = "3"
"""One wrong bit in a hundred lines, in both directions."""


def test_a_print_under_noise_kills_and_a_pulled_cable_is_exact() -> None:
    options = [
        "--first",
        ROUND,
        "--rounds",
        "1",
        "--kills",
        "2",
        "--pulls",
        "1",
        "--moves",
        "2500",
        "--speed",
        "12",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 prints exact; 2 kills, 1 pulled cables" in run.stdout
    assert "exact, " in run.stdout
