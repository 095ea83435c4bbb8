"""The daemon with a second load in its own process: what a library or a mistake in it could do to the printer's line.

`python -m benchmarks.loaded_daemon --garbage-ms 50 -- run --config …`: everything behind `--` goes to the daemon.
"""

from __future__ import annotations

import argparse
import gc
import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.cli.main import main as fabunit

DOCUMENTS = 2000
"""Small objects made between two collections: what some hundred requests and events leave behind."""


def collect_garbage(_folder: Path, every_s: float) -> None:
    """Make garbage and collect all generations."""
    while True:
        cycles: list[object] = [{"n": n, "rows": [n]} for n in range(DOCUMENTS)]
        cycles.append(cycles)
        del cycles
        gc.collect()
        time.sleep(every_s)


def commit(folder: Path, every_s: float) -> None:
    """Commit small rows, synced to the disk each time."""
    database = sqlite3.connect(folder / "bench.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, text TEXT)")
    while True:
        with database:
            database.execute("INSERT INTO rows (text) VALUES (?)", ("x" * 200,))
        time.sleep(every_s)


def serialise(_folder: Path, every_s: float) -> None:
    """Turn a status document of 100 kB into JSON and back: pure Python and C under the interpreter's lock."""
    document = {f"key {n}": {"value": n, "text": "x" * 60} for n in range(1000)}
    while True:
        json.loads(json.dumps(document))
        time.sleep(every_s)


LOADS: dict[str, Callable[[Path, float], None]] = {
    "garbage": collect_garbage,
    "commits": commit,
    "json": serialise,
}


def main() -> None:
    """Start the loads, then be the daemon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the database of `commits` goes")
    for name in LOADS:
        parser.add_argument(f"--{name}-ms", type=float, help=f"pause between two rounds of `{name}`")
    parser.add_argument("daemon", nargs="+", help="the daemon's command line, behind --")
    options = parser.parse_args()
    for name, load in LOADS.items():
        every_ms = getattr(options, f"{name}_ms")
        if every_ms is not None:
            threading.Thread(target=load, args=(options.folder, every_ms / 1000), daemon=True).start()
    sys.argv = ["fabunit", *options.daemon]
    fabunit()


if __name__ == "__main__":
    main()
