"""What an hour of printing costs with the link up and nobody watching: bytes to the disk, bytes on the wire.

The virtual printer prints at life speed; the kernel's own count (`/proc/PID/io`, dirtied pages) is read once a minute;
the wire is counted by a proxy, with 40 bytes for the headers of each packet. A print's beginning
and end are measured apart from the time between. By hand: `python -m benchmarks.link_hour --minutes 10`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.link_world import LinkWorld

SETTLE_S = 40.0


@dataclass(frozen=True, slots=True)
class Hour:
    """Bytes: `per_print` are written around a print's beginning, `written` and `wire` by an hour of printing."""

    per_print: int
    written: int
    wire: int
    minutes: float


def measure(folder: Path, minutes: float) -> Hour:
    """Print for `minutes` and extrapolate."""
    part = folder / "slow.gcode"
    moves = int(minutes * 60) + 240
    lines = ["G21", "G90", "M83", "M104 S205", "M140 S60", "G28", "G1 X10 Y10 Z0.3 F3000"]
    # One second a move.
    lines += [f"G1 X{10 + (move % 2) * 10} Y{10 + move / 100:.2f} F600" for move in range(moves)]
    part.write_text("\n".join([*lines, "M104 S0", "M140 S0", ""]))
    with LinkWorld(folder, speed=1.0) as world:
        world.until(world.is_drained, "the link is up")
        before = _written(world)
        world.push(part)
        world.until(lambda: world.status()["printer"]["state"] == "printing", "it prints")
        time.sleep(SETTLE_S)
        began_s, at_first, wire = time.monotonic(), _written(world), _wire(world)
        seen = at_first
        for _ in range(int(minutes)):
            time.sleep(60.0)
            now = _written(world)
            print(f"  {(now - seen) / 1024:.0f} KiB written", flush=True)
            seen = now
        hours = (time.monotonic() - began_s) / 3600
        return Hour(
            at_first - before, int((seen - at_first) / hours), int((_wire(world) - wire) / hours), minutes
        )


def _written(world: LinkWorld) -> int:
    assert world.daemon is not None
    lines = Path(f"/proc/{world.daemon.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def _wire(world: LinkWorld) -> int:
    net = world.unit_net
    return net.sent_bytes + net.returned_bytes + 40 * (net.sent_packets + net.returned_packets)


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fu-hour-") as scratch:
        hour = measure(Path(scratch), args.minutes)
    print(f"beginning of a print: {hour.per_print / 1024:.0f} KiB written")
    print(f"an hour of printing: {hour.written / 1e6:.2f} MB written, {hour.wire / 1e3:.0f} kB on the wire")
    print(f"(from {hour.minutes:g} minutes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
