"""`fabunit events`: what happened, from the record that outlives every restart."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.session import Session, WholeNumber, daemon_command
from agent.cli.wording import moment, printable, reason_words


@click.command()
@click.option(
    "-n",
    "count",
    type=WholeNumber(1, 1000),
    default=50,
    metavar="N",
    show_default=True,
    help="How many of the newest.",
)
@daemon_command
def events(session: Session, count: int) -> None:
    """Show the newest events of jobs, prints, bed, port and unit, oldest first.

    They are in the database: a restart of the machine does not take them, unlike the journal.
    """
    document = session.client().get("/v1/events", tail=count)
    session.show(document, lambda: _text(document["events"]) or "nothing has happened yet")


def _text(found: list[dict[str, Any]]) -> str:
    lines, boot = [], ""
    for event in found:
        if boot and event["boot"] != boot:
            lines.append("-- the machine was restarted --")
        boot = event["boot"]
        lines.append(_line(event))
    return "\n".join(lines)


def _line(event: dict[str, Any]) -> str:
    # A clock that is not set, or has just jumped, says little about when it was; the number says the order.
    sure = " " if event["clk"] == "sync" else "?"
    about = event["print_id"] or event["job_id"] or ""
    reason = reason_words(event["reason"])
    told = "; ".join(part for part in (printable(event["detail"]), reason) if part)
    what = f"{event['type']:<7} {event['state'] or '-':<10}"
    return f"{event['seq']:>7}  {moment(event['t_ms'])}{sure} {what} {about}  {told}"
