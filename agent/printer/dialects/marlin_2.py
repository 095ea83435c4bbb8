"""Marlin 2.1.2 and later, and every Marlin whose version cannot be read."""

from __future__ import annotations

from agent.printer.dialects.base import PROBE_COMMAND, BadLine, Counter, Dialect, Duplicate

MARLIN_2 = Dialect(
    name="marlin",
    title="Marlin 2.1.2 and later",
    numbered=True,
    checked=True,
    set_line="M110 N{n}",
    # Bare `M110` answers `Line: n` only since 2024-05 (5561bafbe6); the impossible number works on all.
    counter=Counter.PROBE,
    probe_command=PROBE_COMMAND,
    # The last and last-but-one line are dropped without a word since 791de40885 (2022-11-27).
    # A host that can live with silence can live with the older answers too: hence the family's default.
    duplicate=Duplicate.SILENT,
    bad_line=BadLine.RESEND_OK,  # one development state of early 2021 sent no ok: treat it as a hint
    keepalive=True,  # HOST_KEEPALIVE_FEATURE, default interval 2 s (M113)
    max_line=95,  # MAX_CMD_SIZE 96: longer lines lose their checksum for ever (measured)
    # BUFSIZE 4 and a receive ring of 128 bytes: measured loss starts at 8 lines of 37 bytes.
    window_lines=4,
    window_bytes=120,
    deadman=True,
    deadman_since=(2, 1, 2),  # manage_inactivity() in MarlinCore.cpp: has_blocks and no_stepper_sleep
    autoreport="M155 S{s}",
    break_wait=b"M108",
    quickstop=b"M410",
    restart_after_halt=None,  # kill() loops until the reset button
    clear_stop=b"M999",
)
