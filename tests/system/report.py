"""The tables of docs/system-test.md: each between two marks, replaced by the run that measured it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/system-test.md"


def write_table(mark: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Replace the table called `mark`, or add it at the end of the document; the day goes into the title."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = [begin, f"### {title}, {day}", "", _row(columns), "|---" * len(columns) + "|"]
    table = "\n".join([*lines, *(_row(row) for row in rows), end])
    text = DOCUMENT.read_text()
    head, found, rest = text.partition(begin)
    DOCUMENT.write_text(
        f"{head}{table}{rest.partition(end)[2]}" if found else f"{text.rstrip()}\n\n{table}\n"
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
