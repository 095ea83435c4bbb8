"""Draw the picture of the README: `fabunit demo` is run for real, and its live view is kept as an SVG.

Usage: python benchmarks/record_demo.py [OUTPUT]      (default: docs/images/demo.svg)
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from agent.cli.demo import _summary
from agent.cli.demo_stage import DemoStage
from agent.cli.demo_verdict import judge
from agent.cli.view import render

SPEED = 15.0
WIDTH = 84
SHOWN_AT = 0.3
"""How much of the print is done in the picture."""
OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "demo.svg"
ENDED = ("completed", "failed", "cancelled", "rejected")


def main() -> int:
    """Run the demo, draw one moment of it and its result; 0 when the print was exact."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    with DemoStage(SPEED, keep=False) as stage:
        job_id = stage.submit()
        moment = watch(stage, job_id)
        job = stage.client.get(f"/v1/jobs/{job_id}")
        receipt = stage.receipt(job_id)
        link = stage.link()
        stage.end()
        verdict = judge(stage.part, stage.ledger, stage.summary(), receipt, job)
    # The folder of one run means nothing to a reader.
    moment["printer"]["port"] = "/dev/serial/by-id/usb-virtual-printer"
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text("$ fabunit demo", style="bold"))
    console.print(render(moment))
    console.print(Text.from_ansi(_summary(verdict, link, None)))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(own_fonts(console.export_svg(title="fabunit demo")))
    print(f"{output}: {verdict.lines_executed} of {verdict.lines_in_file} lines, exact: {verdict.exact}")
    return 0 if verdict.exact else 1


def own_fonts(svg: str) -> str:
    """Take out the fonts that rich would load from the network: the reader's own monospace font does."""
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def watch(stage: DemoStage, job_id: str) -> dict[str, Any]:
    """Follow the print to its end; returns the status document of the moment to show."""
    kept: dict[str, Any] | None = None
    for document in stage.client.watch_status(0.25):
        progress = document["printer"]["progress"]
        if kept is None and progress is not None and progress["fraction"] >= SHOWN_AT:
            kept = document
        if stage.client.get(f"/v1/jobs/{job_id}")["state"] in ENDED:
            break
    if kept is None:
        raise SystemExit("the print ended before its picture could be taken")
    return kept


if __name__ == "__main__":
    raise SystemExit(main())
