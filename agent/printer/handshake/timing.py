"""How long a handshake waits for what, and why. Seconds unless the name says otherwise."""

from __future__ import annotations

PATIENCE_S = 10.0
"""Without a sign of life: a boot loader takes 2 s, a settings dump 0.3 s, media and EEPROM some more."""
CLEAR_S = 0.1
"""For the refusal of a half line; a firmware answers within milliseconds, an FTDI adapter adds 16."""
QUIET_S = 0.05
"""After a refusal: its `Resend` and `ok` follow at once."""
ANSWER_S = 1.0
"""A live firmware answers M115 (2 kB of capabilities, 0.2 s at 115,200 baud) well within this."""
NAME_QUIET_S = 0.3
"""Capabilities come without a pause; firmwares that send the ok first end with silence."""
BOOT_QUIET_S = 0.8
"""A boot dump has pauses of some hundred milliseconds while the firmware looks for media."""
HALT_WAIT_S = 3.0
"""A Prusa MK3 restarts by itself after a halt; others stay dead."""
BUSY_GRACE_S = 6.0
"""Three periods of the keep-alive message (M113 S2)."""
BUSY_LIMIT_S = 3600.0
"""Longer than any bed levelling or heat-up; somebody who let M600 wait for a night has to connect again."""
QUESTIONS = 4
"""Attempts per question to a firmware that is known to live."""
GARBAGE_BYTES = 16
GARBAGE_RATIO = 0.25
"""At a wrong rate about half of the bytes are no text; line noise stays under one in a hundred."""
MAX_LINE_BYTES = 4096
