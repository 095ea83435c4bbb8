"""Marlin 2.0.0 to 2.1.1: duplicates are answered, everything else as in later versions."""

from __future__ import annotations

from dataclasses import replace

from agent.printer.dialects.base import Duplicate
from agent.printer.dialects.marlin_2 import MARLIN_2

MARLIN_20 = replace(
    MARLIN_2,
    name="marlin_20",
    title="Marlin 2.0.0 to 2.1.1",
    # Measured on 2.0.5.3: line-number error, Resend, ok.
    duplicate=Duplicate.RESEND,
    deadman_since=None,  # with the motors' idle time switched off, moves do not count
)
