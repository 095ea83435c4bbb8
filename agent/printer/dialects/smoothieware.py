"""Smoothieware: resend without ok, halted boards answer `!!`."""

from __future__ import annotations

from agent.printer.dialects.base import PROBE_COMMAND, BadLine, Counter, Dialect, Duplicate

SMOOTHIEWARE = Dialect(
    name="smoothie",
    title="Smoothieware",
    numbered=True,
    checked=True,
    set_line="M110 N{n}",
    counter=Counter.PROBE,
    probe_command=PROBE_COMMAND,
    duplicate=Duplicate.RESEND,
    bad_line=BadLine.RESEND,  # `rs N<next>` and no ok (GcodeDispatch.cpp)
    blank_acked=True,
    keepalive=False,
    max_line=95,
    window_lines=4,
    window_bytes=120,
    restart_after_halt=b"M999",
    clear_stop=b"M999",
)
