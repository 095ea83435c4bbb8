"""`fabunit slice`: slice a mesh as the unit would, without a daemon."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.given_file import demand_file, named
from agent.cli.session import Session, WholeNumber, local_command
from agent.cli.wording import duration, facts, percent, printable, size
from agent.domain.errors import UsageError

if TYPE_CHECKING:
    from agent.slicing.setup import PrintSetup


@click.command("slice")
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="OUT", type=click.Path(path_type=Path), required=True, help="G-code to write."
)
@click.option("--printer", metavar="NAME", help="Printer profile. Default: the configured one.")
@click.option("--material", metavar="NAME", default="pla", show_default=True, help="Material.")
@click.option("--quality", metavar="NAME", default="standard", show_default=True, help="Quality.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "prusaslicer", "curaengine"]),
    default="auto",
    show_default=True,
    help="Which slicer to use.",
)
@click.option("--infill", type=click.FloatRange(0, 100), metavar="PERCENT", help="Density of the inside.")
@click.option("--walls", type=WholeNumber(1, 20), metavar="N", help="Wall lines.")
@click.option(
    "--supports/--no-supports", default=None, help="Default: where the check of the mesh asks for them."
)
@click.option("--brim", type=click.FloatRange(0, 50), metavar="MM", help="Width of a brim.")
@local_command
def slice_model(
    session: Session,
    *,
    model: Path,
    output: Path,
    printer: str | None,
    material: str,
    quality: str,
    engine: str,
    infill: float | None,
    walls: int | None,
    supports: bool | None,
    brim: float | None,
) -> int:
    """Check MODEL, slice it for this printer, and check the G-code. Exit code 4 when it cannot be printed here."""
    from agent.paths import default_config, profiles_dirs
    from agent.settings import load_settings
    from agent.slicing.setup import SliceChoices, load_setup

    demand_file(model)
    if output.is_dir():
        raise UsageError(f"{output} is a directory", remedy="name a file with -o")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output.parent} is no directory", remedy="check the path of -o")
    settings = load_settings(session.config or default_config())
    choices = SliceChoices(infill_percent=infill, walls=walls, supports=supports, brim_mm=brim)
    setup = load_setup(printer or settings.printer.profile, material, quality, profiles_dirs(), choices)
    document = _slice(session, model.absolute(), output.absolute(), setup, engine)
    session.show(document, lambda: _text(document))
    return 0


def _slice(session: Session, model: Path, output: Path, setup: PrintSetup, engine: str) -> dict[str, Any]:
    import asyncio

    watched = sys.stderr.isatty() and not session.as_json

    async def run(scratch: Path) -> dict[str, Any]:
        from agent.jobs.stages.mesh_words import demand_printable, describe, facts_of
        from agent.jobs.stages.workshop import check_limits, with_supports
        from agent.mesh.client import run_check
        from agent.mesh.request import Request
        from agent.slicing.engines import choose_engine
        from agent.slicing.slicer import SliceOrder, slice_mesh

        chosen, found = await choose_engine(engine)
        mesh = scratch / "checked.stl"
        with named(model):
            report = await run_check(Request(model, model.name, check_limits(setup), repair_to=mesh))
            demand_printable(report)
            decided = with_supports(setup, report)
            dialect = setup.profile.dialect if setup.profile.dialect != "auto" else "marlin"
            order = SliceOrder(mesh, decided, output, scratch, scratch, dialect, facts_of(report))
            result = await slice_mesh(order, chosen, found, on_progress=_progress if watched else None)
        return {"file": str(output), **describe(result, decided, report)}

    with tempfile.TemporaryDirectory(prefix="fabunit-slice-") as scratch:
        document = asyncio.run(run(Path(scratch)))
    if watched:
        click.echo("\r\x1b[K", err=True, nl=False)
    return document


def _progress(fraction: float) -> None:
    click.echo(f"\r\x1b[Kslicing  {percent(fraction)}", err=True, nl=False)


def _text(document: dict[str, Any]) -> str:
    filament = document["filament_mm"]
    head = facts([
        ("file", printable(document["file"])),
        ("size", size(document["size_bytes"])),
        ("made for", f"{document['printer']}, {document['material']}, {document['quality']}"),
        ("with", f"{document['engine']} {document['engine_version']}"),
        ("supports", "yes" if document["supports"] else "no"),
        ("time", duration(document["estimate_s"])),
        ("filament", "" if filament is None else f"{filament / 1000:.2f} m"),
        ("layers", str(document["layers"])),
        ("check", document["check_verdict"].replace("_", " ")),
    ])  # fmt: skip
    return "\n".join([head, *(f"warning: {printable(warning)}" for warning in document["warnings"])])
