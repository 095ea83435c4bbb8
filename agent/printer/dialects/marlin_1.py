"""Marlin 1.0 and 1.1, with the many vendor builds made of them."""

from __future__ import annotations

from dataclasses import replace

from agent.printer.dialects.base import Duplicate
from agent.printer.dialects.marlin_2 import MARLIN_2

MARLIN_1 = replace(
    MARLIN_2,
    name="marlin_1",
    title="Marlin 1.0 and 1.1",
    duplicate=Duplicate.RESEND,
    deadman_since=None,  # a runout (M600) that waits for a person longer than the timer ends in a dead print
    keepalive=False,  # 1.0 has no busy lines; 1.1 usually has, but vendor builds switch them off
    # M108 and M410 exist since 1.1.0; on 1.0 they are unknown commands, acknowledged and harmless.
)
