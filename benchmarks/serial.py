"""The serial path, measured: `python -m benchmarks.serial [--quick] [--json FILE] [--only NAME …]`.

The daemon as its own process against a fast board (`fast_board.c`, needs a C compiler) and against the virtual
printer. Prints Markdown tables; every ratio is within this run. Run it while nothing else runs: about eight minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import disturbance, simulated, throughput
from benchmarks.report import Table, busy_cores, load_average, machine
from benchmarks.throughput import Scale

GROUPS: dict[str, Callable[[Path, Scale], Table]] = {
    "speed": throughput.speed,
    "wire": throughput.wire,
    "starvation": throughput.starvation,
    "jitter": disturbance.jitter,
    "restart": disturbance.restart,
    "simulated": simulated.virtual_printer,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of every file: a look, not a figure")
    parser.add_argument("--runs", type=int, default=1, help="speed and wire: the median of so many runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there")
    parser.add_argument("--only", action="append", choices=GROUPS, help="this group; may be repeated")
    options = parser.parse_args()
    names = options.only or list(GROUPS)
    print_tables({name: GROUPS[name] for name in names}, Scale(options.quick, options.runs), options.json)


def print_tables(
    groups: dict[str, Callable[[Path, Scale], Table]], scale: Scale, target: Path | None
) -> None:
    """Run the groups, print each table when it is there, and write all rows to `target`."""
    began = time.monotonic()
    document: dict[str, object] = {
        "machine": machine(),
        "began": time.strftime("%Y-%m-%d %H:%M"),
        "quick": scale.quick,
        "runs": scale.runs,
        "busy_cores_before": round(busy_cores(), 2),
        "load_average_before": load_average(),
    }
    print(f"{document['machine']}; {document['began']}")
    print(f"Other work before: {document['busy_cores_before']} cores, load average {load_average()}")
    if scale.quick:
        print("Quick run: a look, not a figure.")
    with tempfile.TemporaryDirectory(prefix="fabunit-bench-") as name:
        for group, run in groups.items():
            print(f"measuring: {group} …", file=sys.stderr, flush=True)
            table = run(Path(name), scale)
            document[group] = table.rows
            print(f"\n{table.markdown()}", flush=True)
            if target is not None:
                target.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nTook {time.monotonic() - began:.0f} s; load average at the end {load_average()}")


if __name__ == "__main__":
    main()
