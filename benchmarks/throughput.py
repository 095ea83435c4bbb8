"""How fast lines go out: against replies that come at once or late, against a paced wire, against short moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_unit import moves_file
from benchmarks.board import Figures
from benchmarks.hosts import CAREFUL, MIDDLE, WIDE, Bare, Fabunit, Window, measure
from benchmarks.report import Table, load_average

SMALL_RING = 128
SMALL_SLOTS = 4
"""The careful window is measured on the board it is made for: what does not fit is lost there."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: `quick` divides every file by ten, each figure is the median of `runs`."""

    quick: bool = False
    runs: int = 1

    def moves(self, full: int) -> int:
        """Moves of a file that has `full` in a full run."""
        return max(300, full // 10) if self.quick else full


def board_for(window: Window) -> dict[str, float]:
    """The buffers of a board that takes this window."""
    return {"ring": SMALL_RING, "slots": SMALL_SLOTS} if window == CAREFUL else {}


def median_of(runs: int, once: Callable[[], Figures]) -> Figures:
    """The run with the median speed."""
    results = sorted((once() for _ in range(runs)), key=lambda figures: figures.lines_per_s)
    return results[len(results) // 2]


def both(part: Path, window: Window, scale: Scale, **board: float) -> tuple[Figures, Figures]:
    """The daemon and the bare loop under the same conditions, in this order."""
    options = board_for(window) | board
    daemon = median_of(scale.runs, lambda: measure(part, lambda port: Fabunit(port, window), **options))
    bare = median_of(scale.runs, lambda: measure(part, lambda port: Bare(port, part, window), **options))
    return daemon, bare


def speed(folder: Path, scale: Scale) -> Table:
    """Lines a second and CPU without a limit of wire or motion."""
    table = Table(
        "Speed and cost, no limit of wire or motion",
        [
            ("window", "window", ""),
            ("latency_ms", "replies late by, ms", "g"),
            ("lines_per_s", "lines/s", ",.0f"),
            ("bare_lines_per_s", "bare loop, lines/s", ",.0f"),
            ("cpu_s", "CPU s per 10,000 lines", ".3f"),
            ("bare_cpu_s", "bare loop, CPU s", ".3f"),
            ("gap_p99_ms", "ok → next line, p99, ms", ".2f"),
            ("load", "load average", ""),
        ],
        "CPU is user + system of the daemon between the first and the last move. The bare loop is one thread that "
        "numbers, sends and counts, without any recovery.",
    )
    lengths = {
        (CAREFUL, 0): 60_000,
        (CAREFUL, 1): 8000,
        (CAREFUL, 2): 4000,
        (MIDDLE, 0): 100_000,
        (MIDDLE, 1): 30_000,
        (MIDDLE, 2): 15_000,
        (WIDE, 0): 200_000,
        (WIDE, 1): 100_000,
        (WIDE, 2): 60_000,
    }
    for (window, latency_ms), full in lengths.items():
        load = load_average()
        part = moves_file(folder, scale.moves(full))
        daemon, bare = both(part, window, scale, latency_ms=latency_ms)
        table.add(
            window=str(window),
            latency_ms=latency_ms,
            lines_per_s=daemon.lines_per_s,
            bare_lines_per_s=bare.lines_per_s,
            cpu_s=daemon.cpu_per_10k_s,
            bare_cpu_s=bare.cpu_per_10k_s,
            gap_p99_ms=daemon.gap_ms["p99"],
            load=load,
        )
    return table


def wire(folder: Path, scale: Scale) -> Table:
    """How much of a paced wire is used."""
    table = Table(
        "Share of the wire",
        [
            ("baud", "baud", ",d"),
            ("window", "window", ""),
            ("share", "of the wire", ".2%"),
            ("bare_share", "bare loop", ".2%"),
            ("lines_per_s", "lines/s", ",.0f"),
            ("bare_lines_per_s", "bare loop, lines/s", ",.0f"),
            ("cpu_s", "CPU s per 10,000 lines", ".3f"),
            ("bare_cpu_s", "bare loop, CPU s", ".3f"),
            ("load", "load average", ""),
        ],
        "Received bits (10 a byte) between the first and the last move over the capacity; replies are paced too.",
    )
    for baud, full in ((115_200, 3000), (250_000, 6000), (1_000_000, 16_000)):
        part = moves_file(folder, scale.moves(full))
        for window in (CAREFUL, MIDDLE):
            load = load_average()
            daemon, bare = both(part, window, scale, baud=baud)
            table.add(
                baud=baud,
                window=str(window),
                share=daemon.wire_share(baud),
                bare_share=bare.wire_share(baud),
                lines_per_s=daemon.lines_per_s,
                bare_lines_per_s=bare.lines_per_s,
                cpu_s=daemon.cpu_per_10k_s,
                bare_cpu_s=bare.cpu_per_10k_s,
                load=load,
            )
    return table


def starvation(folder: Path, scale: Scale) -> Table:
    """Whether the planner of 16 moves ever runs dry."""
    table = Table(
        "Short moves: does the planner run dry?",
        [
            ("move_ms", "every move takes, ms", "g"),
            ("latency_ms", "replies late by, ms", "g"),
            ("window", "window", ""),
            ("moves", "moves", ",d"),
            ("starved", "times dry", ",d"),
            ("starved_ms", "dry in all, ms", ",.1f"),
            ("cpu_s", "CPU s per 10,000 lines", ".3f"),
            ("load", "load average", ""),
        ],
        "A planner of 16 moves, a receive ring of 128 bytes and 4 slots with the careful window.",
    )
    cases = [
        (4, 0, CAREFUL),
        (4, 1, CAREFUL),
        (2, 0, CAREFUL),
        (2, 1, CAREFUL),
        (1, 0, CAREFUL),
        (1, 1, CAREFUL),
        (1, 1, MIDDLE),
        (1, 2, MIDDLE),
    ]
    for move_ms, latency_ms, window in cases:
        load = load_average()
        part = moves_file(folder, scale.moves(6000 // move_ms))
        options = board_for(window) | {"move_ms": move_ms, "latency_ms": latency_ms}
        figures = measure(part, lambda port, window=window: Fabunit(port, window), **options)  # type: ignore[misc]
        table.add(
            move_ms=move_ms,
            latency_ms=latency_ms,
            window=str(window),
            moves=figures.moves,
            starved=figures.starved,
            starved_ms=figures.starved_ms,
            cpu_s=figures.cpu_per_10k_s,
            load=load,
        )
    return table
