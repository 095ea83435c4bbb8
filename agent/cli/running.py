"""The running print: pause, resume, cancel, emergency stop, the bed latch, the firmware's questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli.session import Session, WholeNumber, daemon_command
from agent.cli.wording import printable
from agent.domain.errors import FabunitError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Pausing waits for the moves that the printer has buffered.
_PATIENCE_S = 120.0
# Longer is no emergency stop: say so and let the person act.
_STOP_PATIENCE_S = 5.0


@click.command()
@daemon_command
def pause(session: Session) -> None:
    """Pause the running print: it parks and keeps its place."""
    _act(session, "pause", "pausing: finishes the moves the printer holds, then parks")


@click.command()
@daemon_command
def resume(session: Session) -> None:
    """Go on with the paused print."""
    _act(session, "resume", "resuming: heats up, goes back to where it stopped and prints on")


@click.command()
@daemon_command
def cancel(session: Session) -> None:
    """Cancel the running print. It is not resumed; `fabunit job retry` starts it anew."""
    _act(session, "cancel", "cancelling: parks, then heaters and motors off")


@click.command()
@daemon_command
def stop(session: Session) -> None:
    """Emergency stop: heaters and motors off, now. The printer needs `fabunit printer connect` afterwards."""
    try:
        document = session.client().post("/v1/stop", timeout_s=_STOP_PATIENCE_S)
    except FabunitError as error:
        error.remedy = f"SWITCH THE PRINTER OFF at its mains switch. Then: {error.remedy}".rstrip()
        raise
    session.show(document, lambda: _state(document))


@click.group()
def bed() -> None:
    """Keep the bed latch: after a print nothing starts before a person has cleared the bed."""


@bed.command()
@daemon_command
def clear(session: Session) -> None:
    """Say that the bed is clear: the next job may start."""
    document = session.client().post("/v1/bed/clear")
    session.show(document, f"bed {document.get('bed')}")


@click.command()
@daemon_command
def prompt(session: Session) -> None:
    """Show what the printer asks, with the numbers for `fabunit answer`."""
    document = session.client().get("/v1/printer")
    question = document.get("prompt")
    session.show(
        {"prompt": question}, lambda: "the printer asks nothing" if question is None else ask(question)
    )


@click.command()
@click.argument("choice", type=WholeNumber(0, 99))
@daemon_command
def answer(session: Session, choice: int) -> None:
    """Answer what the printer asks with choice number CHOICE (see `fabunit prompt`)."""
    client = session.client()
    question = client.get("/v1/printer").get("prompt")
    if question is None:
        raise NotFoundError("the printer asks nothing", code="no_prompt", remedy="see `fabunit status`")
    document = client.post("/v1/prompt", {"choice": choice})
    session.show(document, lambda: _state(document))


def ask(question: Mapping[str, Any]) -> str:
    """Write a question and its numbered choices."""
    choices = [f"  {number}  {printable(choice)}" for number, choice in enumerate(question["choices"])]
    return "\n".join([printable(question["text"]), *choices])


def _act(session: Session, action: str, under_way: str) -> None:
    document = session.client().post(f"/v1/print/{action}", timeout_s=_PATIENCE_S)
    is_under_way = under_way.startswith(f"{document['state']}:")
    session.show(document, lambda: f"printer {under_way}" if is_under_way else _state(document))


def _state(document: Mapping[str, Any]) -> str:
    detail = document.get("detail")
    return f"printer {document['state']}" + (f": {printable(detail)}" if detail else "")
