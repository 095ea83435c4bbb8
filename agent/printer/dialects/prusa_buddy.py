"""Prusa-Firmware-Buddy (MINI, MK3.5, MK4, XL): Marlin 2.0 inside, a printer of its own mind outside."""

from __future__ import annotations

from agent.printer.dialects.base import PROBE_COMMAND, BadLine, Counter, Dialect, Duplicate

PRUSA_BUDDY = Dialect(
    name="buddy",
    title="Prusa-Firmware-Buddy (MINI, MK3.5, MK4, XL)",
    numbered=True,
    checked=True,
    set_line="M110 N{n}",
    counter=Counter.PROBE,
    probe_command=PROBE_COMMAND,
    duplicate=Duplicate.RESEND,
    bad_line=BadLine.RESEND_OK,
    keepalive=True,
    max_line=95,
    window_lines=4,
    window_bytes=120,
    deadman=False,  # not checked on this firmware: treated as absent
    autoreport="M155 S{s}",
    # EMERGENCY_PARSER is off in the MK4 configuration; M108 unread behind a full queue does nothing.
    break_wait=b"M108",
    quickstop=b"M410",
    clear_stop=b"M999",
)
