"""`make bench`: what the daemon costs and how fast it feeds a printer. Prints a Markdown table.

Run it while nothing else runs. Every figure comes from the real daemon as its own process; ratios are within this run.
"""

from __future__ import annotations

import platform
import tempfile
import time
from pathlib import Path

from benchmarks.bench_unit import BenchUnit, EchoProcess, moves_file

IDLE_S = 10.0
STARTS = 5
MOVES = 100_000
WIDE = (64, 4000)


def main() -> None:
    """Measure and print."""
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        part = moves_file(Path(name), MOVES)
        rows += starting()
        rows += idle()
        rows += printing(part, "window 4 lines / 120 bytes, answers at once")
        rows += printing(part, "window 64 lines, answers at once", window=WIDE)
        rows += printing(part, "window 64 lines, answers 1 ms later", "--latency-ms", "1", window=WIDE)
        rows += printing(part, "window 64 lines, answers 2 ms later", "--latency-ms", "2", window=WIDE)
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {platform.system()} {platform.release()}\n"
    )
    print("| what | measured |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


def starting() -> list[tuple[str, str]]:
    """From the command to an answer on the control socket; the first start only fills the cache of bytecode."""
    echo = EchoProcess()
    times_s = []
    for _ in range(1 + STARTS):
        with BenchUnit(echo.port) as unit:
            times_s.append(unit.start_s)
    echo.end()
    measured = sorted(times_s[1:])
    return [("start to control socket, median / best", f"{measured[STARTS // 2]:.2f} / {measured[0]:.2f} s")]


def idle() -> list[tuple[str, str]]:
    """An idle daemon with a connected printer that reports temperatures once a second."""
    echo = EchoProcess()
    with BenchUnit(echo.port) as unit:
        time.sleep(2)
        before, began = unit.cpu_s(), time.monotonic()
        time.sleep(IDLE_S)
        share = (unit.cpu_s() - before) / (time.monotonic() - began)
        rows = [
            ("idle: resident memory", f"{unit.memory_mib()[0]:.1f} MiB"),
            ("idle: CPU", f"{share * 100:.2f} % of a core"),
        ]
    echo.end()
    return rows


def printing(
    part: Path, what: str, *options: str, window: tuple[int, int] | None = None
) -> list[tuple[str, str]]:
    """One long file without any limit of wire or motion."""
    echo = EchoProcess(*options)
    with BenchUnit(echo.port, window=window) as unit:
        before, written = unit.cpu_s(), unit.written_bytes()
        job = unit.print_file(part)
        cpu_s = unit.cpu_s() - before
        now_mib, peak_mib = unit.memory_mib()
        written = unit.written_bytes() - written - 2 * part.stat().st_size
    result = echo.end()
    lines = int(result["lines"])
    if job["state"] != "completed" or lines != MOVES + 5:
        raise SystemExit(f"{what}: {job['state']} {job['detail']}, {lines} lines")
    return [
        (f"{what}: lines/s", f"{lines / result['seconds']:,.0f}"),
        ("… CPU per 10,000 lines (upload, gate's caller and print)", f"{cpu_s / lines * 10_000:.3f} s"),
        ("… resident memory after / peak", f"{now_mib:.1f} / {peak_mib:.1f} MiB"),
        ("… longest gap between two lines", f"{result['max_gap_s'] * 1000:.1f} ms"),
        ("… written to disk besides the artefact", f"{max(0, written) / 1024:.0f} KiB"),
    ]


if __name__ == "__main__":
    main()
