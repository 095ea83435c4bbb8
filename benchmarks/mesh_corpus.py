"""Check every mesh below a folder in the real worker and print a Markdown table: verdict, findings, time, memory.

`python -m benchmarks.mesh_corpus FOLDER [--profile NAME]`. Run it while nothing else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from agent.domain.profile import PrinterProfile
from agent.mesh.client import run_check
from agent.mesh.gate.inspect import EXTENSIONS
from agent.mesh.limits import derive
from agent.mesh.request import Request
from agent.paths import profiles_dirs
from agent.slicing.profiles import load_profile


def main() -> None:
    """Check and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--profile", default="corexy-300")
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile, profiles_dirs())
    print("| file | verdict | errors | warnings | open / flipped / shared edges | CPU s | wall s | MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for path in sorted(arguments.folder.rglob("*")):
        if path.is_file() and path.suffix.lower().lstrip(".") in EXTENSIONS:
            print(row(path, arguments.folder, profile), flush=True)


def row(path: Path, folder: Path, profile: PrinterProfile) -> str:
    """Check one file; return its line of the table."""
    began = time.monotonic()
    report = asyncio.run(run_check(Request(path, path.name, derive(profile))))
    wall_s = time.monotonic() - began
    mesh = report["mesh"] or {}
    run = report.get("run", {"cpu_s": {}, "peak_memory_bytes": 0})
    edges = " / ".join(str(mesh.get(f"{kind}_edges", "-")) for kind in ("open", "flipped", "shared"))
    return (
        f"| {path.relative_to(folder)} | {report['verdict']} | {_ids(report, 'error')} | {_ids(report, 'warning')} "
        f"| {edges} | {sum(run['cpu_s'].values()):.2f} | {wall_s:.1f} | {run['peak_memory_bytes'] >> 20} |"
    )


def _ids(report: dict[str, Any], severity: str) -> str:
    return ", ".join(found["id"] for found in report["findings"] if found["severity"] == severity)


if __name__ == "__main__":
    main()
