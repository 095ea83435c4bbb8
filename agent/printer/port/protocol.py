"""What the printer thread needs of a port."""

from __future__ import annotations

from typing import Protocol

READ_LIMIT = 65536
"""How much one read takes at most: the kernel's tty buffers are no larger."""


class Port(Protocol):
    """An open connection to a printer. Used by one thread; only `close` may come from another.

    Nothing blocks, except `pulse_dtr` (about 0.1 s) and the closing of an RFC 2217 connection (under 1 s).
    A port that has gone away (unplugged, hung up, far end closed) raises PortError `port_lost` from `read`
    and `write`, never an empty result: poll for reading, read, and let the error end the conversation.
    """

    @property
    def spec(self) -> str:
        """What was asked for: a path or a URL."""

    @property
    def identity(self) -> str:
        """A name that stays the same when the device is plugged in again at the same place."""

    @property
    def baud(self) -> int:
        """Bits per second, as asked for; without meaning on raw sockets and pseudo-terminals."""

    def fileno(self) -> int:
        """Return the descriptor to poll for reading (and for writing after a short `write`)."""

    def read(self, limit: int = READ_LIMIT) -> bytes:
        """Return what is there, at most `limit` bytes; b"" when nothing is."""

    def write(self, data: bytes) -> int:
        """Hand over as much of `data` as the line takes now and return how many bytes that were."""

    def flush_output(self) -> None:
        """Drop what was written but not sent yet, as far as the kind of port can: for the emergency stop."""

    def pulse_dtr(self) -> None:
        """Reset the board by its DTR line; PortError `port_unsupported` where there is none."""

    def close(self) -> None:
        """Close without dropping DTR. May be called again."""
