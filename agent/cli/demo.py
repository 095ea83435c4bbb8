"""`fabunit demo`: a real part, printed by a real daemon on a virtual printer, and the proof that it was exact."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.session import Session, local_command
from agent.domain.errors import NoDaemonError

if TYPE_CHECKING:
    from agent.cli.demo_link import LinkVerdict
    from agent.cli.demo_stage import DemoStage
    from agent.cli.demo_verdict import DemoVerdict

DEFAULT_SPEED = 20.0
"""The bundled part takes 16 minutes in life, so about a minute here."""
REFRESH_S = 0.25


@click.command()
@click.option(
    "--speed",
    type=click.FloatRange(min=0.1, max=1000),
    default=DEFAULT_SPEED,
    show_default=True,
    help="How many times faster than life the virtual printer moves and heats.",
)
@click.option("--keep", is_flag=True, help="Keep the demo's files (ledger, logs, database) and say where.")
@local_command
def demo(session: Session, speed: float, keep: bool) -> int:
    """Print a real part on a virtual printer: no printer, no network, no configuration needed.

    Starts the virtual printer, an MQTT broker, a coordinator and a daemon of its own. The coordinator orders the
    bundled part; the live view shows it being printed; then what the printer executed is compared with the file, line
    for line. Ends with exit code 0 only if they are equal and no record to the coordinator was lost. Without a broker
    (mosquitto, or `pip install fabunit[broker]`) the part comes from the local queue.
    """
    from agent.cli.demo_stage import DemoStage
    from agent.cli.demo_verdict import judge

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with DemoStage(speed, keep=keep) as stage:
        if not session.as_json:
            click.echo(
                f"virtual printer ({speed:g} times life speed), daemon and {stage.company} in {stage.folder}"
            )
        try:
            job_id = stage.submit()
            job = _watch(stage, job_id, quiet=session.as_json)
            receipt = stage.receipt(job_id)
            link = stage.link()
        except NoDaemonError as error:
            raise stage.lost() from error
        stage.end()
        verdict = judge(stage.part, stage.ledger, stage.summary(), receipt, job)
        is_good = verdict.exact and not link.has_lost
        if not is_good:
            stage.keep()  # the evidence
        folder = stage.folder if stage.is_kept else None
        document = {**asdict(verdict), "link": asdict(link), "folder": folder and str(folder)}
        session.show(document, lambda: _summary(verdict, link, folder))
    return 0 if is_good else 1


def _end(number: int, _frame: object) -> None:
    """End as on Ctrl-C: a closed terminal or a supervisor's signal must not leave a daemon behind either."""
    sys.exit(128 + number)


def _watch(stage: DemoStage, job_id: str, *, quiet: bool) -> dict[str, object]:
    """Follow the job to its end: live on a terminal, a line now and then elsewhere."""
    client = stage.client
    if quiet or not sys.stdout.isatty():
        from agent.cli.follow import follow

        return follow(client, [job_id], quiet=quiet)[0]
    from rich.console import Console
    from rich.live import Live

    from agent.cli.view import render

    console = Console(highlight=False, markup=False, emoji=False)
    with Live(console=console, auto_refresh=False) as live:
        for document in client.watch_status(REFRESH_S):
            live.update(render(document), refresh=True)
            job = client.get(f"/v1/jobs/{job_id}")
            if job["state"] in ("completed", "failed", "cancelled", "rejected"):
                live.update(render(client.get("/v1/status")), refresh=True)
                return dict(job)
    return dict(client.get(f"/v1/jobs/{job_id}"))


def _summary(verdict: DemoVerdict, link: LinkVerdict, folder: Path | None) -> str:
    """What happened, for people."""
    from agent.cli.demo_link import link_lines

    good = click.style("exact", fg="green", bold=True)
    places = "1 place" if verdict.starvations == 1 else f"{verdict.starvations} places"
    bad = click.style("NOT exact", fg="red", bold=True)
    lines = [
        "",
        f"  {verdict.part}: {verdict.job_state} after {verdict.duration_s:.0f} s",
        f"  lines in the file    {verdict.lines_in_file}",
        f"  lines executed       {verdict.lines_executed}",
        f"  the printer's ledger {good if verdict.exact else bad}"
        + (", line for line" if verdict.exact else f": {verdict.difference}"),
        f"  resends              {verdict.resends}",
        f"  printer starved      {verdict.starved_ms:.0f} ms in {places}",
        f"  motion               {verdict.motion_s:.1f} s, ideal {verdict.ideal_s:.1f} s",
        *link_lines(link),
        "",
        "  Next: `fabunit --help`, or connect your printer and start `fabunit run`.",
    ]
    if folder is not None:
        lines.insert(-2, f"  files                {folder}")
    return "\n".join(lines)
