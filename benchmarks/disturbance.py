"""What disturbs the line: other work while the daemon prints, and SIGKILL."""

from __future__ import annotations

import statistics
import time
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.bench_unit import moves_file
from benchmarks.board import FastBoard, Figures, moves_crc
from benchmarks.hosts import CAREFUL, STALL_LIMIT_S, Fabunit
from benchmarks.loads import LOADS, big_file, mesh_file
from benchmarks.report import Table, load_average
from benchmarks.throughput import Scale, board_for

JITTER_MOVE_MS = 2.0
"""500 lines a second: more than most prints ask for, so that a late answer costs something."""
KILL_MOVE_MS = 4.0
KILLS = 12
KILLS_QUICK = 3
BETWEEN_KILLS_S = 0.7


def jitter(folder: Path, scale: Scale) -> Table:
    """From an ok to the next line while other work is done."""
    percentiles = [(f"gap_{name}_ms", f"{name}, ms", ".2f") for name in ("p50", "p90", "p99", "p99.9", "max")]
    table = Table(
        "From an ok to the next line, under other work",
        [
            ("load_name", "other work", ""),
            *percentiles,
            ("starved", "planner dry, times", ",d"),
            ("starved_ms", "dry in all, ms", ",.1f"),
            ("cpu_s", "CPU s per 10,000 lines", ".3f"),
            ("realtime", "board at real-time priority", ""),
            ("load", "load average", ""),
        ],
        f"Moves of {JITTER_MOVE_MS:g} ms, careful window, a planner of 16 moves: a gap of less than 30 ms does not "
        "reach the nozzle. The mesh needs a slicer on the machine. The daemon runs at normal priority (its systemd "
        "unit gives it Nice=-5).",
    )
    part = moves_file(folder, scale.moves(4000))
    big = big_file(folder)
    mesh_file(folder)
    options = board_for(CAREFUL) | {"move_ms": JITTER_MOVE_MS, "realtime": True}
    for work in LOADS:
        load = load_average()
        with (
            FastBoard(**options) as board,
            Fabunit(board.port, CAREFUL, launcher=work.launcher(folder)) as host,
        ):
            figures = disturbed(board, host, part, work.running(host.unit.client, big))
            realtime = board.realtime
        gaps = {f"gap_{name}_ms": value for name, value in figures.gap_ms.items()}
        table.add(
            load_name=work.name,
            starved=figures.starved,
            starved_ms=figures.starved_ms,
            cpu_s=figures.cpu_per_10k_s,
            realtime=realtime,
            load=load,
            **gaps,
        )
    return table


def disturbed(board: FastBoard, host: Fabunit, part: Path, work: AbstractContextManager[None]) -> Figures:
    """Print a file with other work from its first move to its last. Raises RuntimeError unless it arrived exactly."""
    moves, crc = moves_crc(part)
    board.expect(moves, watch=host.pid)
    host.begin(part)
    wait_for_first_move(board)
    with work:
        figures = board.done(STALL_LIMIT_S)
    host.finish()
    if figures.crc != crc:
        raise RuntimeError(f"the file's moves were not delivered exactly: {figures}")
    return figures


def wait_for_first_move(board: FastBoard) -> None:
    """Return when the print has begun to move. Raises TimeoutError."""
    end = time.monotonic() + STALL_LIMIT_S
    while board.now().moves == 0:
        if time.monotonic() > end:
            raise TimeoutError("the print does not begin")
        time.sleep(0.02)


def restart(folder: Path, scale: Scale) -> Table:
    """From SIGKILL to the next line of the print, started again at once."""
    table = Table(
        "From SIGKILL to the next line",
        [
            ("kills", "kills", "d"),
            ("median_s", "median, s", ".2f"),
            ("max_s", "at most, s", ".2f"),
            ("exact", "every move once, in order", ""),
            ("starved_ms", "planner dry in all, ms", ",.0f"),
            ("load", "load average", ""),
        ],
        "The daemon is started again as soon as it is gone; a supervisor's own delay (RestartSec, 0.1 s in the "
        "systemd unit) comes on top. The port is closed and opened again; the board keeps its counter.",
    )
    load = load_average()
    kills = KILLS_QUICK if scale.quick else KILLS
    part = moves_file(folder, int(kills * (BETWEEN_KILLS_S + 0.8) * 1000 / KILL_MOVE_MS))
    moves, crc = moves_crc(part)
    gaps: list[float] = []
    options = board_for(CAREFUL) | {"move_ms": KILL_MOVE_MS}
    with FastBoard(**options) as board, Fabunit(board.port) as host:
        board.expect(moves, watch=host.pid)
        host.begin(part)
        wait_for_first_move(board)
        for _ in range(kills):
            time.sleep(BETWEEN_KILLS_S)
            killed = time.monotonic()
            host.unit.kill()
            host.unit.start_again()
            gaps.append(board.reopened() - killed)
        figures = board.done(STALL_LIMIT_S)
        host.finish()
    table.add(
        kills=kills,
        median_s=statistics.median(gaps),
        max_s=max(gaps),
        exact=figures.crc == crc,
        starved_ms=figures.starved_ms,
        load=load,
    )
    return table
