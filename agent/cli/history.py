"""`fabunit history` and `fabunit receipt`: what was printed."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.session import Session, daemon_command
from agent.cli.wording import duration, facts, moment, printable, table
from agent.control.client import segment


@click.command()
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 1000),
    default=20,
    metavar="N",
    show_default=True,
    help="How many prints.",
)
@daemon_command
def history(session: Session, count: int) -> None:
    """List past prints, newest first."""
    document = session.client().get("/v1/prints", limit=count)
    session.show(document, lambda: _table(document["prints"]) or "nothing has been printed yet")


@click.command()
@click.argument("print_id", metavar="PRINT")
@daemon_command
def receipt(session: Session, print_id: str) -> None:
    """Show the receipt of PRINT: what was printed, when, from which bytes, and how it went."""
    document = session.client().get(f"/v1/prints/{segment(print_id)}/receipt")
    session.show(document, lambda: facts(_flat(document["receipt"])))


def _table(prints: list[dict[str, Any]]) -> str:
    rows = [
        (
            printable(entry["print_id"]),
            printable(entry["job_id"]),
            entry["state"],
            moment(entry["started_ms"]),
            duration(None if entry["ended_ms"] is None else (entry["ended_ms"] - entry["started_ms"]) / 1000),
            printable(entry["detail"] or entry["reason"] or ""),
        )
        for entry in prints
    ]
    return table(("PRINT", "JOB", "STATE", "STARTED", "TOOK", "WHY"), rows) if rows else ""


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Write nested keys with dots, so that any receipt can be shown."""
    if not isinstance(value, dict):
        return [(prefix, printable("" if value is None else value))]
    rows: list[tuple[str, str]] = []
    for name, item in value.items():
        rows += _flat(item, f"{prefix}.{name}" if prefix else str(name))
    return rows
