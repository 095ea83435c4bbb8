"""A printer that does nothing but acknowledge, fast enough never to be the bottleneck of a measurement.

Knows line numbers, Resend and latency; no wire speed, no heaters, no motion. Prints its port, then statistics as one
JSON line when it is told to end. For behaviour use `fabunit simulate`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import pty
import select
import signal
import time
import tty
from collections import deque

M115 = [
    b"FIRMWARE_NAME:Marlin 2.1.2 (echo) MACHINE_TYPE:Echo",
    b"Cap:AUTOREPORT_TEMP:1",
    b"Cap:EMERGENCY_PARSER:1",
]
TEMPERATURES = b" T:21.00 /0.00 B:21.00 /0.00 @:0 B@:0"


class EchoPrinter:
    """Counts, checks the numbers, acknowledges."""

    def __init__(self) -> None:
        self.last = 0
        self.lines = 0
        self.resends = 0
        self.digest = hashlib.sha256()
        self.first_s = self.last_s = 0.0
        self.bytes_in = 0
        self.gap_s = 0.0
        self._rest = b""

    def receive(self, data: bytes, now: float) -> bytes:
        """Bytes from the host; returns the replies."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        replies: list[bytes] = []
        for line in lines:
            if line[:1] == b"N":
                self._numbered(line, replies, now)
            elif line:
                replies += self._plain(line)
        return b"\n".join([*replies, b""]) if replies else b""

    def _numbered(self, line: bytes, replies: list[bytes], now: float) -> None:
        number_text, _, rest = line[1:].partition(b" ")
        number = int(number_text)
        command = rest.rpartition(b"*")[0]
        if number != self.last + 1 and command[:4] != b"M110":
            if number not in (self.last, self.last - 1):
                self.resends += 1
                error = b"Error:Line Number is not Last Line Number+1, Last Line: %d" % self.last
                replies += [error, b"Resend: %d" % (self.last + 1), b"ok"]
            return
        self.last = number
        if number < 1_000_000 and command[:4] != b"M110":
            self.lines += 1
            self.bytes_in += len(line) + 1
            self.digest.update(command + b"\n")
            if self.lines == 1:
                self.first_s = now
            else:
                self.gap_s = max(self.gap_s, now - self.last_s)
            self.last_s = now
        replies.append(b"ok")

    def _plain(self, line: bytes) -> list[bytes]:
        if line == b"M115":
            return [*M115, b"ok"]
        return [b"ok" + TEMPERATURES] if line == b"M105" else [b"ok"]

    def statistics(self) -> dict[str, object]:
        """What was measured, as JSON."""
        return {
            "lines": self.lines,
            "refusals": self.resends,
            "seconds": self.last_s - self.first_s,
            "bytes": self.bytes_in,
            "max_gap_s": self.gap_s,
            "sha256": self.digest.hexdigest(),
        }


def serve(latency_s: float, report_s: float) -> None:
    """Run until SIGTERM."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    print(os.ttyname(slave), flush=True)
    printer = EchoPrinter()
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    outgoing: deque[tuple[float, bytes]] = deque()
    next_report = time.monotonic() + report_s
    while not ending:
        due = min(next_report, outgoing[0][0]) if outgoing else next_report
        ready: list[int] = []
        with contextlib.suppress(InterruptedError):
            ready, _, _ = select.select([master], [], [], max(0.0, due - time.monotonic()))
        now = time.monotonic()
        if ready and (replies := printer.receive(os.read(master, 65536), now)):
            outgoing.append((now + latency_s, replies))
        if now >= next_report:
            next_report += report_s
            outgoing.append((now + latency_s, TEMPERATURES + b"\n"))
        while outgoing and outgoing[0][0] <= now:
            os.write(master, outgoing.popleft()[1])
    print(json.dumps(printer.statistics()), flush=True)


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--report-s", type=float, default=1.0)
    options = parser.parse_args()
    serve(options.latency_ms / 1000, options.report_s)


if __name__ == "__main__":
    main()
