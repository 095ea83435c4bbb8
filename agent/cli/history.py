"""`fabunit history` and `fabunit receipt`: what was printed."""

from __future__ import annotations

import base64
import json
from typing import Any

import click

from agent.cli.session import Session, WholeNumber, daemon_command
from agent.cli.wording import duration, facts, moment, printable, reason_words, table
from agent.control.client import segment
from agent.domain.errors import RefusedError


@click.command()
@click.option(
    "-n",
    "count",
    type=WholeNumber(1, 1000),
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
@click.option("--verify", is_flag=True, help="Check the unit's signature; exit code 4 when it is not good.")
@click.option("--key", metavar="BASE64", help="The public key it must be signed with (implies --verify).")
@daemon_command
def receipt(session: Session, *, print_id: str, verify: bool, key: str | None) -> None:
    """Show the receipt of PRINT: what was printed, when, from which bytes, and how it went."""
    document = session.client().get(f"/v1/prints/{segment(print_id)}/receipt")
    if verify or key:
        _verify(document, key or "")
    session.show(
        document,
        lambda: facts([*_receipt(document["receipt"]), *_seal(document, is_checked=verify or bool(key))]),
    )


def _table(prints: list[dict[str, Any]]) -> str:
    rows = [
        (
            printable(entry["print_id"]),
            printable(entry["job_id"]),
            entry["state"],
            moment(entry["started_ms"]),
            duration(None if entry["ended_ms"] is None else (entry["ended_ms"] - entry["started_ms"]) / 1000),
            printable(entry["detail"]) or reason_words(entry["reason"]),
        )
        for entry in prints
    ]
    return table(("PRINT", "JOB", "STATE", "STARTED", "TOOK", "WHY"), rows) if rows else ""


def _receipt(receipt: dict[str, Any]) -> list[tuple[str, str]]:
    """Write what people ask first, then everything else as it is."""
    rest = dict(receipt)
    stats = dict(rest.pop("stats", None) or {})
    acked, lines = rest.pop("lines_acked", None), rest.pop("lines", None)
    reason, detail = rest.pop("reason", None), rest.pop("detail", "")
    rows = [
        ("file", printable(rest.pop("name", ""))),
        ("ended as", printable(rest.pop("state", ""))),
        ("why", printable(detail) or reason_words(reason)),
        *((name, moment(rest.pop(f"{name}_ms"))) for name in ("started", "ended") if f"{name}_ms" in rest),
        ("took", duration(rest.pop("duration_s")) if "duration_s" in rest else ""),
        ("estimate", duration(rest.pop("estimate_s")) if rest.get("estimate_s") else ""),
        ("lines", f"{acked} of {lines} acknowledged" if acked is not None else ""),
        ("copy", f"{rest.pop('copy')} of {rest.pop('copies', '?')}" if "copy" in rest else ""),
    ]
    # The streamer's own figures repeat some of the above.
    repeated = ("lines", "lines_acked", "base", "prepared_sha256", "elapsed_s")
    return [*rows, *_flat(rest), *_flat({key: stats[key] for key in stats if key not in repeated})]


def _verify(document: dict[str, Any], key: str) -> None:
    """Raise RefusedError unless the signature is good and of what is shown."""
    from agent.jobs.seal import verify

    if "seal" not in document:
        raise RefusedError(
            "the receipt is not signed", code="unsigned", remedy="the unit had no key when the print ended"
        )
    payload = base64.b64decode(document["payload"])
    verify(payload, document["seal"], key)
    if json.loads(payload) != document["receipt"]:
        raise RefusedError("what is shown is not what was signed", code="bad_signature")


def _seal(document: dict[str, Any], *, is_checked: bool) -> list[tuple[str, str]]:
    if "seal" not in document:
        return []
    signed = f"by {printable(document['seal']['kid'])} with {printable(document['seal']['public_key'])}"
    return [("signed", signed + (", good" if is_checked else ", not checked (--verify)"))]


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Write nested keys with dots, so that any receipt can be shown."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(number): item for number, item in enumerate(value, 1)}
    if isinstance(value, list) and not value:
        return []
    if not isinstance(value, dict):
        return [(prefix, printable("" if value is None else value))]
    rows: list[tuple[str, str]] = []
    for name, item in value.items():
        rows += _flat(item, f"{prefix}.{name}" if prefix else str(name))
    return rows
