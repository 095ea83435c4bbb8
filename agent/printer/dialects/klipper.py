"""Klipper's G-code pseudo-terminal: numbers and checksums are read over, errors are acknowledged."""

from __future__ import annotations

from agent.printer.dialects.base import BadLine, Dialect, Duplicate

KLIPPER = Dialect(
    name="klipper",
    title="Klipper",
    numbered=False,
    checked=False,
    duplicate=Duplicate.EXECUTED,
    bad_line=BadLine.EXECUTED,
    blank_acked=True,
    error_acked=True,  # `!! text`, then ok: a host that counts oks would print on
    max_line=None,
    # One line: an error must stop the job before the next line is under way.
    window_lines=1,
    window_bytes=256,
    restart_after_halt=b"FIRMWARE_RESTART",
)
