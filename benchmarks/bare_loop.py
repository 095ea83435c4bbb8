"""The plainest host: one thread, one file, one window. What any host in Python has to pay at least.

`python -m benchmarks.bare_loop PORT FILE --lines 4 --bytes 120`. It numbers lines, keeps so many in flight and counts
oks; it does not recover from anything.
"""

from __future__ import annotations

import argparse
import os
import tty
from collections import deque
from collections.abc import Iterator
from pathlib import Path


def framed(path: Path) -> Iterator[bytes]:
    """The file's commands with line number and checksum, from 1."""
    number = 0
    with path.open("rb") as file:
        for line in file:
            command = line.partition(b";")[0].strip()
            if command:
                number += 1
                yield with_checksum(number, command)


def with_checksum(number: int, command: bytes) -> bytes:
    """One numbered line as it goes over the wire."""
    body = b"N%d %b" % (number, command)
    total = 0
    for byte in body:
        total ^= byte
    return b"%b*%d\n" % (body, total)


def stream(port: int, lines: Iterator[bytes], most_lines: int, most_bytes: int) -> None:
    """Send all lines; return when the last ok has come."""
    in_flight: deque[int] = deque()
    sum_bytes = 0
    waiting = next(lines, None)
    while waiting is not None or in_flight:
        block = []
        while waiting is not None and len(in_flight) < most_lines and sum_bytes + len(waiting) <= most_bytes:
            block.append(waiting)
            in_flight.append(len(waiting))
            sum_bytes += len(waiting)
            waiting = next(lines, None)
        if block:
            write(port, b"".join(block))
        for _ in range(read_oks(port)):
            sum_bytes -= in_flight.popleft()


def read_oks(port: int) -> int:
    """Wait for bytes; how many oks they end."""
    data = os.read(port, 4096)
    while not data.endswith(b"\n"):
        data += os.read(port, 4096)
    return sum(line.startswith(b"ok") for line in data.split(b"\n"))


def write(port: int, data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(port, data) :]


def main() -> None:
    """Parse the options and stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port")
    parser.add_argument("file", type=Path)
    parser.add_argument("--lines", type=int, default=4)
    parser.add_argument("--bytes", type=int, default=120)
    options = parser.parse_args()
    port = os.open(options.port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    print("open", flush=True)
    input()
    write(port, with_checksum(0, b"M110 N0"))
    read_oks(port)
    stream(port, framed(options.file), options.lines, options.bytes)
    os.close(port)


if __name__ == "__main__":
    main()
