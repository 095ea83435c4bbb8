"""Repetier-Firmware 0.9x and 1.0: oks are numbered and come on receipt."""

from __future__ import annotations

from agent.printer.dialects.base import PROBE_COMMAND, BadLine, Counter, Dialect, Duplicate, OkOn

REPETIER = Dialect(
    name="repetier",
    title="Repetier-Firmware",
    numbered=True,
    checked=True,
    set_line="M110 N{n}",
    # Its numbers wrap at 65536, so the impossible number is only far away, not impossible:
    # an answer that is no refusal means that the probe hit the expected line.
    counter=Counter.PROBE,
    probe_command=PROBE_COMMAND,
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
