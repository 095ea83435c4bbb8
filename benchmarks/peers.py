"""The daemon beside other print hosts, on the same board and the same file, in one run.

`python -m benchmarks.peers [--quick] [--json FILE] [--peers DIR] [--only NAME …]` installs OctoPrint and Printrun into
virtual environments of their own (DIR, default: the user's cache) and drives them from outside, without a browser,
without their online checks. About six minutes; run it while nothing else runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.bench_unit import moves_file
from benchmarks.board import FastBoard, Figures, cache_dir
from benchmarks.hosts import CAREFUL, WIDE, Bare, Fabunit, Host, Window, print_on
from benchmarks.peer_hosts import OCTOPRINT, PRINTRUN, OctoPrint, Printrun, environment
from benchmarks.report import Table, load_average
from benchmarks.serial import print_tables
from benchmarks.throughput import Scale

PING_PONG = Window(1, 1000)
RUN_S = 5.0
"""A file is as long as its host needs for this time, by its rough speed."""
NATIVE_BAUD = 115_200
"""What a host is told where the wire is not paced."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One host: how it is started on (port, part, baud), and its lines a second without any limit, roughly."""

    name: str
    start: Callable[[str, Path, int], Host]
    rough_lines_per_s: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Condition:
    """What the board does, and about how many lines a second one line in flight gets under it."""

    name: str
    board: dict[str, float]
    single_lines_per_s: float

    @property
    def baud(self) -> int:
        """Of the wire, 0 when it is not paced."""
        return int(self.board.get("baud", 0))


CONDITIONS = (
    Condition("no limit", {}, 1e9),
    Condition("replies 1 ms later", {"latency_ms": 1}, 900),
    Condition("replies 2 ms later", {"latency_ms": 2}, 470),
    Condition("250,000 baud", {"baud": 250_000}, 200),
    Condition("115,200 baud", {"baud": 115_200}, 90),
)


def peers_in(folder: Path) -> tuple[Peer, ...]:
    """All hosts; the foreign ones are installed into `folder` when they are not there yet."""
    printrun = environment(folder, "printrun", PRINTRUN)
    octoprint = environment(folder, "octoprint", OCTOPRINT)
    return (
        Peer("fabunit, 4 lines", lambda port, _part, _baud: Fabunit(port, CAREFUL), 20_000, 3),
        Peer("fabunit, 64 lines", lambda port, _part, _baud: Fabunit(port, WIDE), 80_000, 64),
        Peer("OctoPrint 1.11.8", lambda port, _part, baud: OctoPrint(octoprint, port, baud), 3000, 1),
        Peer("Printrun 2.2.0", lambda port, part, baud: Printrun(printrun, port, part, baud), 800, 1),
        Peer("bare loop, 1 line", lambda port, part, _baud: Bare(port, part, PING_PONG), 10_000, 1),
        Peer("bare loop, 4 lines", lambda port, part, _baud: Bare(port, part, CAREFUL), 30_000, 3),
    )


def side_by_side(peers: tuple[Peer, ...], folder: Path, scale: Scale) -> Table:
    """All hosts under all conditions."""
    table = Table(
        "Side by side",
        [
            ("condition", "condition", ""),
            ("host", "host", ""),
            ("lines_per_s", "lines/s", ",.0f"),
            ("ratio", "fabunit (4 lines) is faster by", ".2f"),
            ("wire", "of the wire", ".1%"),
            ("cpu_s", "CPU s per 10,000 lines", ".3f"),
            ("cpu_ratio", "times the CPU of fabunit (4 lines)", ".1f"),
            ("moves", "moves", ",d"),
            ("load", "load average", ""),
        ],
        "Same board, same moves, one run; every host delivered every move once, in order. CPU: user + system of the "
        "host's process between the first and the last move.",
    )
    for condition in CONDITIONS:
        ours: Figures | None = None
        for peer in peers:
            load = load_average()
            figures = one(peer, condition, folder, scale)
            ours = ours or figures
            table.add(
                condition=condition.name,
                host=peer.name,
                lines_per_s=figures.lines_per_s,
                ratio=ours.lines_per_s / figures.lines_per_s,
                wire=figures.wire_share(condition.baud) if condition.baud else None,
                cpu_s=figures.cpu_per_10k_s,
                cpu_ratio=figures.cpu_per_10k_s / ours.cpu_per_10k_s,
                moves=figures.moves,
                load=load,
            )
    return table


def one(peer: Peer, condition: Condition, folder: Path, scale: Scale) -> Figures:
    """One host under one condition."""
    rate = min(
        peer.rough_lines_per_s, condition.single_lines_per_s * (peer.in_flight if not condition.baud else 3)
    )
    part = moves_file(folder, scale.moves(round(rate * RUN_S)))
    with (
        FastBoard(**condition.board) as board,
        peer.start(board.port, part, condition.baud or NATIVE_BAUD) as host,
    ):
        return print_on(board, host, part)


def main() -> None:
    """Install, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of every file: a look, not a figure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there")
    parser.add_argument("--peers", type=Path, default=cache_dir(), metavar="DIR", help="their environments")
    parser.add_argument("--only", action="append", metavar="NAME", help="hosts whose name contains it")
    options = parser.parse_args()
    peers = peers_in(options.peers)
    if options.only:
        wanted = ["fabunit, 4", *options.only]
        peers = tuple(peer for peer in peers if any(word.lower() in peer.name.lower() for word in wanted))
    print_tables({"peers": partial(side_by_side, peers)}, Scale(quick=options.quick), options.json)


if __name__ == "__main__":
    main()
