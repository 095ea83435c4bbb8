"""Prusa-Firmware for MK2.5 and MK3(S): Marlin 1.0 with a recovery machine of its own."""

from __future__ import annotations

from agent.printer.dialects.base import PROBE_COMMAND, BadLine, Counter, Dialect, Duplicate

PRUSA_MK3 = Dialect(
    name="prusa",
    title="Prusa-Firmware (MK2.5, MK3, MK3S)",
    numbered=True,
    checked=True,
    set_line="M110 N{n}",
    counter=Counter.PROBE,
    probe_command=PROBE_COMMAND,
    duplicate=Duplicate.RESEND,
    bad_line=BadLine.RESEND_OK,  # the ok is missing now and then (issues 331, 2864)
    # After a crash or filament run-out it sets its counter back by the moves in the planner plus the
    # commands in the buffer and asks for that line out of the blue (power_panic.cpp, cmdqueue.cpp);
    # issue 3503 shows older requests, PrusaLink keeps 100 lines.
    unasked_resend_back=100,
    keepalive=True,
    max_line=95,
    window_lines=4,
    window_bytes=120,
    # Unnumbered commands in the buffer are subtracted too and would make it repeat job lines.
    chatter_in_print=False,
    deadman=True,
    deadman_since=None,  # as in Marlin 1: M600 waits for a person while the timer runs
    autoreport="M155 S{s} C7",  # C bits: 1 temperatures, 2 fans, 4 position
    break_wait=b"M108",
    quickstop=None,
    reboots_after_halt=True,  # kill() prints its line and restarts the board
    clear_stop=b"M999",
)
