"""The demo's proof: a ledger that differs from the file in any way is not exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo_verdict import judge

FILE = "G28 ; home\n; layer\nG1 X1 Y2\nG1 X2 Y2\n"
WHOLE = [("G28", 10_001), ("G1 X1 Y2", 10_002), ("G1 X2 Y2", 10_003)]


def exact(
    tmp_path: Path, executed: list[tuple[str, int | None]], state: str = "completed"
) -> tuple[bool, str]:
    part, ledger = tmp_path / "part.gcode", tmp_path / "ledger.jsonl"
    part.write_text(FILE)
    entries: list[dict[str, Any]] = [{"event": "boot", "t": 0.0}]
    for cmd, n in executed:
        src = "host" if n is None else "job"
        entries.append({"i": len(entries), "t": 1.0, "n": n, "cmd": cmd, "src": src})
    ledger.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    verdict = judge(part, ledger, {"prints": []}, {}, {"state": state})
    return verdict.exact, verdict.difference


def test_the_same_lines_are_exact_whatever_the_host_said_besides(tmp_path: Path) -> None:
    assert exact(tmp_path, [("M115", None), *WHOLE, ("M400", 2_000_001)]) == (True, "")


@pytest.mark.parametrize(
    ("executed", "words"),
    [
        (WHOLE[:-1], "None at the printer"),
        ([WHOLE[0], *WHOLE], "command 2"),
        ([*WHOLE, ("G1 X3", 10_004)], "command 4"),
        ([*WHOLE, ("G1 Y2*33", None)], "without a line number"),
    ],
    ids=["lost", "doubled", "foreign", "fragment"],
)
def test_anything_else_is_not(tmp_path: Path, executed: list[tuple[str, int | None]], words: str) -> None:
    is_exact, difference = exact(tmp_path, executed)
    assert not is_exact
    assert words in difference


def test_a_print_that_did_not_complete_is_not_exact(tmp_path: Path) -> None:
    assert exact(tmp_path, [*WHOLE], "failed") == (False, "the job is failed")
