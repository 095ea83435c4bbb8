"""RepRapFirmware 3 over USB: checks checksums, not numbers; a bad line vanishes."""

from __future__ import annotations

from agent.printer.dialects.base import M409_COMMAND, BadLine, Counter, Dialect, Duplicate

REPRAPFIRMWARE = Dialect(
    name="reprap",
    title="RepRapFirmware 3 (Duet)",
    numbered=True,
    checked=True,
    set_line=None,
    # The counter counts unnumbered and empty lines too and is set before the checksum test
    # (StringParser::LineFinished, 3.3 to 3.5): it narrows down where a print stood, it does not prove it.
    counter=Counter.M409,
    probe_command=M409_COMMAND,
    duplicate=Duplicate.EXECUTED,
    bad_line=BadLine.SILENT,  # StringParser::LineFinished: no ok, no resend (3.3 to 3.5)
    max_line=95,
    # A line that vanishes must be the only one under way, or nobody knows which it was.
    window_lines=1,
    window_bytes=96,
    restart_after_halt=b"M999",
)
