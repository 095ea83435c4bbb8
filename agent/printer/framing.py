"""Framing of G-code lines: line numbers and XOR checksums.

A framed line is `N<number> <command>*<checksum>` and a line feed. The checksum is the XOR of all bytes before the `*`,
in decimal (RepRap protocol; Marlin 2.1 `queue.cpp`, measured on real firmware).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

IMPOSSIBLE_LINE = 999_999_999
"""A line number no session reaches: the firmware rejects it and names the last line it accepted."""


def checksum(body: bytes) -> int:
    """XOR of all bytes, 0..255.

    Folded as one whole number, half upon half: a third less work than byte by byte, and it is done for every line.
    """
    folded = int.from_bytes(body, "little")
    if len(body) > 64:
        shift = 4 << len(body).bit_length()
        while shift > 256:
            folded ^= folded >> shift
            shift >>= 1
    folded ^= folded >> 256
    folded ^= folded >> 128
    folded ^= folded >> 64
    folded ^= folded >> 32
    folded ^= folded >> 16
    return (folded ^ (folded >> 8)) & 0xFF


def frame(number: int, command: bytes) -> bytes:
    """One command as it goes over the wire, with number, checksum and line end."""
    body = b"N%d %s" % (number, command)
    return b"%s*%d\n" % (body, checksum(body))


def frame_plain(command: bytes) -> bytes:
    """One command for a firmware that knows no line numbers: no number, no checksum."""
    return command + b"\n"


def set_number(number: int) -> bytes:
    """The line after which the firmware expects `number + 1`.

    Sent as a numbered line it takes effect on receipt; the inner N is what counts (measured on Marlin 2.1).
    """
    return frame(number, b"M110 N%d" % number)


def probe(number: int = IMPOSSIBLE_LINE) -> bytes:
    """A question for the last accepted line, safe at any time.

    The leading line end finishes a line that an earlier host left half sent. The number is checked before anything
    else, so nothing is executed: the answer is `Last Line: k`, `Resend: k+1`, `ok`. Where numbers wrap around
    nothing is impossible: there `number` must be far from the one expected.
    """
    return b"\n" + frame(number, b"M105")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of consecutive framed lines, ready to be sent as slices of one buffer.

    `first` is the index (1-based) of its first line in the session. Line `first + i` is
    `data[ends[i]:ends[i + 1]]`. A `barrier` chunk holds one line that is sent alone: nothing may be in flight
    before it and nothing follows until it is acknowledged. `token` marks a host command.
    """

    first: int
    data: bytes
    ends: Sequence[int]
    barrier: bool = False
    token: int | None = None
    last: int = field(init=False)
    """Index of its last line."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", self.first + len(self.ends) - 2)

    @property
    def count(self) -> int:
        """Number of lines."""
        return len(self.ends) - 1


def build_chunk(first: int, base: int | None, commands: Iterable[bytes], *, barrier: bool = False) -> Chunk:
    """Frame `commands` as lines `first`, `first + 1`, … of a session that starts at number `base`.

    `base` None means a firmware without line numbers.
    """
    if base is None:
        frames = [command + b"\n" for command in commands]
    else:
        frames = []
        number = base + first
        for command in commands:
            body = b"N%d %s" % (number, command)
            frames.append(b"%s*%d\n" % (body, checksum(body)))
            number += 1
    ends = [0]
    total = 0
    for line in frames:
        total += len(line)
        ends.append(total)
    return Chunk(first=first, data=b"".join(frames), ends=ends, barrier=barrier)


def with_token(chunk: Chunk, token: int) -> Chunk:
    """The same lines, marked as the host command `token`."""
    return replace(chunk, token=token)
