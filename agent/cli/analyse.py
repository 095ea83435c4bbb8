"""`fabunit analyse`: what the gate thinks of a G-code file, without a daemon."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.given_file import demand_file, named
from agent.cli.session import Session, local_command
from agent.cli.wording import duration, facts, heater_name, printable
from agent.domain.errors import NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    from agent.domain.artefact import Prepared
    from agent.domain.profile import PrinterProfile

_MARK = {"error": ("refused", "red"), "warning": ("warning", "yellow"), "info": ("info", "cyan")}
_DIALECT = "marlin"
# More findings of one file tell a person nothing new; --json has all of them.
_FINDINGS_SHOWN = 20
_OBJECTS_SHOWN = 5


@click.command()
@click.argument("file", metavar="GCODE", type=click.Path(path_type=Path))
@click.option(
    "--profile", "profile_name", metavar="NAME", help="Printer profile. Default: the configured one."
)
@click.option("--dialect", metavar="NAME", help="Firmware dialect. Default: the configured one, else marlin.")
@click.option(
    "--thumbnail",
    metavar="PICTURE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the largest preview picture of the file there.",
)
@local_command
def analyse(
    session: Session, file: Path, profile_name: str | None, dialect: str | None, thumbnail: Path | None
) -> int:
    """Check GCODE against this printer's limits: time, layers, findings. Exit code 4 when refused."""
    demand_file(file)
    if thumbnail is not None:
        _write_thumbnail(file, thumbnail)
    profile, dialect_name = _target(session.config, profile_name, dialect)
    with named(file):
        prepared = _prepare(file, profile, dialect_name)
    document = _document(file, profile, prepared)
    session.show(document, lambda: _text(document))
    return 0 if prepared.is_printable else RefusedError.exit_code


def _write_thumbnail(file: Path, target: Path) -> None:
    """Write the largest preview picture. NotFoundError (no_thumbnail) when the file has none."""
    from agent.gcode.metadata import EDGE_BYTES
    from agent.gcode.thumbnails import read_thumbnails

    with file.open("rb") as source:
        pictures = read_thumbnails(source.read(EDGE_BYTES))
    if not pictures:
        raise NotFoundError(
            f"{file} has no preview picture", code="no_thumbnail", remedy="switch thumbnails on in the slicer"
        )
    try:
        target.write_bytes(pictures[0].data)
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}", remedy="name another file") from error


def _target(config: Path | None, profile_name: str | None, dialect: str | None) -> tuple[PrinterProfile, str]:
    from agent.paths import default_config, profiles_dirs
    from agent.settings import load_settings
    from agent.slicing.profiles import load_profile

    settings = load_settings(config or default_config())
    profile = load_profile(profile_name or settings.printer.profile, profiles_dirs())
    for name in (dialect, settings.printer.dialect, profile.dialect):
        if name and name != "auto":
            return profile, name
    return profile, _DIALECT


def _prepare(file: Path, profile: PrinterProfile, dialect: str) -> Prepared:
    import asyncio

    from agent.gcode.client import run_prepare

    with tempfile.TemporaryDirectory(prefix="fabunit-analyse-") as scratch:
        return asyncio.run(run_prepare(file, Path(scratch), profile, dialect))


def _document(file: Path, profile: PrinterProfile, prepared: Prepared) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "file": str(file),
        "profile": profile.name,
        "printable": prepared.is_printable,
        "source_sha256": prepared.source_sha256,
        "prepared_sha256": prepared.sha256,
        "lines": prepared.lines,
        "size_bytes": prepared.size,
        "layers": len(prepared.layers),
        "metadata": asdict(prepared.metadata),
        "summary": prepared.summary,
        "findings": [{**asdict(finding), "severity": str(finding.severity)} for finding in prepared.findings],
    }


def _text(document: dict[str, Any]) -> str:
    metadata, summary = document["metadata"], document["summary"]
    verdict = "printable" if document["printable"] else "refused"
    filament = metadata["filament_mm"]
    head = facts([
        ("file", printable(document["file"])),
        ("profile", document["profile"]),
        ("verdict", click.style(verdict, fg="green" if document["printable"] else "red", bold=True)),
        ("slicer", printable(metadata["slicer"])),
        ("material", printable(metadata["material"])),
        ("time", _time(metadata, summary)),
        ("filament", "" if filament is None else f"{filament / 1000:.2f} m"),
        ("lines", str(document["lines"])),
        ("layers", str(document["layers"] or "")),
        ("height", f"{summary['height_mm']:g} mm" if summary.get("height_mm") else ""),
        ("size", _box(summary)),
        ("objects", ", ".join(printable(name) for name in summary.get("objects", [])[:_OBJECTS_SHOWN])),
        ("hottest", _hottest(summary)),
    ])  # fmt: skip
    findings = document["findings"]
    lines = [_finding(finding) for finding in findings[:_FINDINGS_SHOWN]]
    if len(findings) > _FINDINGS_SHOWN:
        lines.append(f"... and {len(findings) - _FINDINGS_SHOWN} more (--json shows all)")
    return "\n".join([head, *lines])


def _time(metadata: dict[str, Any], summary: dict[str, Any]) -> str:
    """Tell the estimate, and the slicer's own where it is another one."""
    estimate, promised = metadata["estimate_s"], summary.get("slicer_estimate_s")
    if estimate is None:
        return ""
    told = duration(estimate)
    return f"{told} (slicer: {duration(promised)})" if promised else told


def _box(summary: dict[str, Any]) -> str:
    """Tell how large the printed thing is, skirt and purge lines included."""
    box = summary.get("analysis", {}).get("printed_box_mm")
    if not box:
        return ""
    low, high = box
    return " x ".join(f"{top - bottom:.1f}" for bottom, top in zip(low, high, strict=True)) + " mm"


def _hottest(summary: dict[str, Any]) -> str:
    """Name the highest target of each heater."""
    highest = summary.get("temperatures", {}).get("highest_c", {})
    return ", ".join(f"{heater_name(heater)} {celsius:g} °C" for heater, celsius in highest.items())


def _finding(finding: dict[str, Any]) -> str:
    word, colour = _MARK[finding["severity"]]
    place = f"line {finding['line']}: " if finding["line"] else ""
    remedy = f"\n    {printable(finding['remedy'])}" if finding["remedy"] else ""
    return f"{click.style(word, fg=colour)} {finding['id']}: {place}{printable(finding['message'])}{remedy}"
