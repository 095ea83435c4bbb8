"""`fabunit check`: can this mesh be printed here? Without a daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.given_file import demand_file
from agent.cli.session import Session, local_command
from agent.cli.wording import facts, percent, printable
from agent.domain.errors import FabunitError, RefusedError, UsageError

if TYPE_CHECKING:
    from agent.mesh.client import Progress
    from agent.mesh.limits import Limits
    from agent.mesh.request import Request

_MARK = {"error": ("error", "red"), "warning": ("warning", "yellow"), "info": ("info", "cyan")}
_COLOUR = {
    "printable": "green",
    "printable_with_warnings": "yellow",
    "undetermined": "magenta",
    "not_printable": "red",
}
_UNITS = ("mm", "cm", "inch", "m", "micron")


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=click.Path(path_type=Path))
@click.option(
    "--profile", "profile_name", metavar="NAME", help="Printer profile. Default: the configured one."
)
@click.option("--material", metavar="NAME", default="pla", show_default=True, help="What it is printed in.")
@click.option(
    "--layer",
    "layer_mm",
    metavar="MM",
    type=click.FloatRange(0.02, 2.0),
    help="Layer height. Default: half the nozzle.",
)
@click.option("--no-supports", is_flag=True, help="What needs supports cannot be printed.")
@click.option(
    "--unit",
    type=click.Choice(_UNITS),
    help="What a number in the file means. Default: millimetres, if that makes sense.",
)
@click.option("--orient", is_flag=True, help="Also search a better side to lie on.")
@click.option(
    "--report",
    "report_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write report.json, pictures and a page with a viewer.",
)
@click.option(
    "--repair",
    "repair_to",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a repaired copy (.stl) and say what changed.",
)
@click.option("--fill-holes", is_flag=True, help="With --repair: also close small holes.")
@local_command
def check(
    session: Session,
    *,
    models: tuple[Path, ...],
    profile_name: str | None,
    material: str,
    layer_mm: float | None,
    no_supports: bool,
    unit: str | None,
    orient: bool,
    report_dir: Path | None,
    repair_to: Path | None,
    fill_holes: bool,
) -> int:
    """Check whether MODELs can be printed here: what is wrong, where, and what helps.

    Exit code 4 when one cannot be printed, 1 when that could not be determined.
    """
    from agent.mesh.request import Request, memory_limit_bytes

    if fill_holes and repair_to is None:
        raise UsageError("--fill-holes needs --repair FILE")
    if repair_to is not None and len(models) > 1:
        raise UsageError("--repair takes one model at a time")
    for model in models:
        demand_file(model)
    limits = _limits(session.config, profile_name, material, layer_mm, has_supports=not no_supports)
    reports = []
    for model in models:
        request = Request(
            source=model.absolute(),
            name=model.name,
            limits=limits,
            unit=unit,
            report_dir=_directory(report_dir, model, len(models)),
            is_oriented=orient,
            repair_to=None if repair_to is None else repair_to.absolute(),
            fills_holes=fill_holes,
            memory_bytes=memory_limit_bytes(_physical_bytes()),
        )
        reports.append(_run(session, request))
        if not session.as_json:
            click.echo(_text(model, reports[-1], is_first=len(reports) == 1))
    session.show({"reports": reports}, "")
    return _exit_code([report["verdict"] for report in reports])


def _limits(
    config: Path | None,
    profile_name: str | None,
    material: str,
    layer_mm: float | None,
    *,
    has_supports: bool,
) -> Limits:
    from agent.mesh.limits import derive
    from agent.paths import default_config, profiles_dirs
    from agent.settings import load_settings
    from agent.slicing.profiles import load_profile

    settings = load_settings(config or default_config())
    profile = load_profile(profile_name or settings.printer.profile, profiles_dirs())
    return derive(profile, material=material, layer_mm=layer_mm, has_supports=has_supports)


def _directory(report_dir: Path | None, model: Path, count: int) -> Path | None:
    """One folder for one model, a folder below it for each of several."""
    if report_dir is None:
        return None
    directory = report_dir.absolute() if count == 1 else report_dir.absolute() / model.name
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FabunitError(
            f"{directory}: {error.strerror}", code="unwritable", remedy="name another folder"
        ) from error
    return directory


def _physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _run(session: Session, request: Request) -> dict[str, Any]:
    """Return the report, kept or new; one that also writes files is always made."""
    import asyncio

    from agent.mesh.cache import ReportCache, cache_directory, is_cacheable
    from agent.mesh.client import run_check

    cache = ReportCache(cache_directory())
    if is_cacheable(request) and (kept := cache.load_for(request.source, request.limits)) is not None:
        return kept
    watched = sys.stderr.isatty() and not session.as_json
    report = asyncio.run(run_check(request, on_progress=_progress(request.name) if watched else None))
    if watched:
        click.echo("\r\x1b[K", err=True, nl=False)
    if is_cacheable(request):
        cache.save(report, request.limits)
    return report


def _progress(name: str) -> Progress:
    def show(step: str, share: float) -> None:
        click.echo(
            f"\r\x1b[K{printable(name)}  {percent(share)}  {step.replace('_', ' ')}", err=True, nl=False
        )

    return show


def _text(model: Path, report: dict[str, Any], *, is_first: bool) -> str:
    from agent.mesh.report import text

    colour = _COLOUR[report["verdict"]]
    head = f"{printable(model.name)}: {click.style(text.verdict_line(report), fg=colour, bold=True)}"
    lines = [] if is_first else [""]
    lines.append(head)
    shown = facts(text.facts(report))
    lines += [f"  {line}" for line in shown.splitlines()]
    for finding in report["findings"]:
        word, tint = _MARK[finding["severity"]]
        lines.append(f"  {click.style(word, fg=tint)} {printable(text.finding_line(finding))}")
        if finding["remedy"] and finding["severity"] != "info":
            lines.append(f"    {printable(finding['remedy'])}")
    lines += [
        f"  {click.style('not checked', fg='magenta')} {printable(line)}" for line in text.open_checks(report)
    ]
    lines += [f"  {printable(line)}" for line in text.extras(report)]
    return "\n".join(lines)


def _exit_code(verdicts: list[str]) -> int:
    if "not_printable" in verdicts:
        return RefusedError.exit_code
    return FabunitError.exit_code if "undetermined" in verdicts else 0
