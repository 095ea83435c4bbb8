"""Repetier-Firmware 0.9x and 1.0: oks are numbered and come on receipt."""

from __future__ import annotations

from agent.printer.dialects.base import BadLine, Counter, Dialect, Duplicate, OkOn

REFUSED_COMMAND = b"N999999999 M105*1"
"""No number is impossible where numbers wrap at 65536: this one is 51711, and some print gets there. So its checksum is
wrong as well (46 would be right): checksums are judged before numbers, and the refusal names the line expected."""

REPETIER = Dialect(
    name="repetier",
    title="Repetier-Firmware",
    numbered=True,
    checked=True,
    set_line="M110 N{n}",
    counter=Counter.PROBE,
    probe_command=REFUSED_COMMAND,
    # `skip n` and ok within 40 lines, a resend beyond (gcode.cpp checkAndPushCommand).
    duplicate=Duplicate.SKIP,
    bad_line=BadLine.RESEND_OK,
    line_modulus=65536,
    ok_on=OkOn.RECEIVED,
    ok_numbered=True,
    keepalive=True,
    max_line=95,  # MAX_CMD_SIZE 96 with the terminating zero
    window_lines=4,
    window_bytes=120,
    autoreport="M155 S{s}",
    restart_after_halt=b"M999",  # leaves the fatal state
    clear_stop=b"M999",
)
