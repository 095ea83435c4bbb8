"""`fabunit jobs` and `fabunit job`: the queue."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.session import Session, WholeNumber, daemon_command
from agent.cli.wording import copies, duration, facts, moment, printable, reason_words, size, table
from agent.control.client import segment
from agent.domain.errors import UsageError

_LAYERS = ("printer", "material", "quality")


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Also jobs that are over.")
@daemon_command
def jobs(session: Session, show_all: bool) -> None:
    """List the queue in the order it will be printed."""
    client = session.client()
    document = client.get("/v1/jobs", all=show_all)

    def text() -> str:
        warnings = [f"! {printable(warning)}" for warning in client.get("/v1/status")["warnings"]]
        return "\n".join([job_table(document["jobs"]) or "the queue is empty", *warnings])

    session.show(document, text)


@click.group()
def job() -> None:
    """Show or change one job. ID is the job's id as `fabunit jobs` lists it."""


@job.command()
@click.argument("job_id", metavar="ID")
@daemon_command
def show(session: Session, job_id: str) -> None:
    """Show everything about the job."""
    document = session.client().get(f"/v1/jobs/{segment(job_id)}")
    session.show(document, lambda: _details(document))


@job.command()
@click.argument("job_id", metavar="ID")
@daemon_command
def start(session: Session, job_id: str) -> None:
    """Print this ready job next, also where the queue does not start by itself."""
    document = session.client().post(f"/v1/jobs/{segment(job_id)}/start")
    session.show(document, lambda: f"{job_line(document)}  starts when the printer is idle")


@job.command()
@click.argument("job_id", metavar="ID")
@daemon_command
def hold(session: Session, job_id: str) -> None:
    """Keep the job from printing until it is released."""
    _act(session, job_id, "hold")


@job.command()
@click.argument("job_id", metavar="ID")
@daemon_command
def release(session: Session, job_id: str) -> None:
    """Let the held job go on."""
    _act(session, job_id, "release")


@job.command()
@click.argument("job_id", metavar="ID")
@daemon_command
def cancel(session: Session, job_id: str) -> None:
    """End the job; one that prints is cancelled at the printer."""
    _act(session, job_id, "cancel")


@job.command()
@click.argument("job_id", metavar="ID")
@daemon_command
def retry(session: Session, job_id: str) -> None:
    """Start a job that is over again."""
    _act(session, job_id, "retry")


@job.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--layer",
    type=WholeNumber(1, 1_000_000),
    metavar="N",
    help="Go on at the beginning of this layer: the one at whose height the nozzle stands.",
)
@click.option(
    "--yes", is_flag=True, help="The part lies as it was, nothing was moved, somebody watches: go on."
)
@daemon_command
def salvage(session: Session, *, job_id: str, layer: int | None, yes: bool) -> int:
    """Go on with a print whose board was reset: shows where it stopped, and with --yes goes on there.

    Only while nobody has moved the head or the part since. Heats up, lifts off, homes X and Y (never Z), returns.
    """
    client = session.client()
    path = f"/v1/jobs/{segment(job_id)}/salvage"
    proposal = client.get(path)
    if not yes:
        session.show(proposal, lambda: _proposal(proposal))
        return 0 if proposal["possible"] else 4
    document = client.post(path, {} if layer is None else {"layer": layer})
    session.show(document, lambda: f"{job_line(document)}  goes back to the part; stay there")
    return 0


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("--first", is_flag=True, help="Next to print.")
@click.option("--last", is_flag=True, help="At the end.")
@click.option(
    "--to", "place", type=WholeNumber(1, 1_000_000), metavar="N", help="To place N, counted from 1."
)
@click.option("--before", metavar="ID", help="In front of this job.")
@daemon_command
def move(
    session: Session, *, job_id: str, first: bool, last: bool, place: int | None, before: str | None
) -> None:
    """Move the job within the queue."""
    wishes: list[dict[str, object]] = []
    if first:
        wishes.append({"to": "first"})
    if last:
        wishes.append({"to": "last"})
    if place is not None:
        wishes.append({"to": place})
    if before is not None:
        wishes.append({"before": before})
    if len(wishes) != 1:
        raise UsageError(
            "say where to: exactly one of --first, --last, --to and --before",
            remedy=f"for example `fabunit job move {job_id} --first`",
        )
    document = session.client().post(f"/v1/jobs/{segment(job_id)}/move", wishes[0])
    session.show(document, lambda: job_line(document))


def job_table(listed: list[dict[str, Any]]) -> str:
    """Lay out jobs; nothing for an empty list."""
    rows = [
        (
            printable(entry["job_id"]),
            entry["state"],
            printable(entry["name"]),
            copies(entry),
            duration(entry["estimate_s"]),
            why(entry),
        )
        for entry in listed
    ]
    return table(("ID", "STATE", "NAME", "COPIES", "TIME", "WHY"), rows) if rows else ""


def job_line(entry: dict[str, Any]) -> str:
    """Write a job's state in one line."""
    reason = why(entry)
    return f"{printable(entry['job_id'])}  {entry['state']}  {printable(entry['name'])}" + (
        f"  ({reason})" if reason else ""
    )


def why(entry: dict[str, Any]) -> str:
    """Say why the job is where it is, in the daemon's words."""
    return printable(entry["detail"]) or reason_words(entry["reason"])


def _act(session: Session, job_id: str, action: str) -> None:
    document = session.client().post(f"/v1/jobs/{segment(job_id)}/{action}")
    session.show(document, lambda: job_line(document))


def _proposal(found: dict[str, Any]) -> str:
    """Write where a print stopped, what it would cost to go on, and how."""
    if not found["possible"]:
        return f"it cannot be salvaged: {printable(found['obstacle'])}"
    name = f"`fabunit job salvage {printable(found['job_id'])}"
    among = ", ".join(f"{one['layer']} ({one['height_mm']:g} mm)" for one in found["candidates"])
    how = f"{name} --yes`" if found["certain"] else f"{name} --layer N --yes`, N being the layer it stands in"
    rows = [
        (
            "stopped in layer",
            f"{found['layer']} of {found['layers']}, {found['height_mm']:g} mm above the bed",
        ),
        ("last line", f"{found['line']}; would go on at line {found['start_line']}"),
        ("certain", "yes" if found["certain"] else f"no: it may stand in layer {among}"),
        *(("caution", printable(caution)) for caution in found["cautions"]),
        (
            "first",
            "look: is the part still fixed, is the nozzle at that height, has nothing been moved since?",
        ),
        ("then", how),
    ]
    return facts(rows)


def _mesh_rows(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Write the verdict on a mesh with its main findings, and with what it was sliced."""
    mesh = entry.get("mesh") or {}
    checked, sliced = mesh.get("check") or {}, mesh.get("slice") or {}
    counts = checked.get("counts") or {}
    told = ", ".join(f"{counts[kind]} {kind}" for kind in ("error", "warning", "info") if counts.get(kind))
    made = sliced or checked
    return [
        (
            "check",
            printable(str(checked.get("verdict", "")).replace("_", " ") + (f" ({told})" if told else "")),
        ),
        *(("", printable(line)) for line in checked.get("lines", [])),
        ("report", printable(checked.get("report", ""))),
        ("profile", printable(", ".join(made.get(key, "") for key in _LAYERS)) if made else ""),
        ("digest", printable(made.get("setup_digest", ""))),
        ("sliced by", printable(f"{sliced['engine']} {sliced['engine_version']}") if sliced else ""),
        ("supports", ("yes" if sliced["supports"] else "no") if sliced else ""),
        *(("mended", printable(line)) for line in sliced.get("repairs", [])),
    ]


def _details(entry: dict[str, Any]) -> str:
    filament = entry["filament_mm"]
    return facts([
        ("job", printable(entry["job_id"])),
        ("state", entry["state"] + (f" (from {entry['held_from']})" if entry["held_from"] else "")),
        ("reason", entry["reason"] or ""),
        ("detail", printable(entry["detail"])),
        ("file", f"{printable(entry['name'])}, {entry['artefact_format']}, {size(entry['artefact_size'])}"),
        ("sha-256", entry["artefact_sha256"]),
        ("copies", f"{entry['copies_done']} of {entry['copies']} done"),
        ("time", duration(entry["estimate_s"]) if entry["estimate_s"] is not None else ""),
        ("filament", f"{filament / 1000:.2f} m" if filament is not None else ""),
        ("layers", str(entry["layers"] or "")),
        *_mesh_rows(entry),
        ("material", printable(entry["material"] or "")),
        ("quality", printable(entry["quality"] or "")),
        ("priority", str(entry["priority"])),
        ("attempt", str(entry["attempt"])),
        ("source", printable(entry["source"])),
        ("added", moment(entry["created_ms"])),
        ("changed", moment(entry["updated_ms"])),
    ])  # fmt: skip
