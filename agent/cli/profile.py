"""`fabunit profile`: what can be printed with, and a maker's own settings as profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.given_file import demand_file
from agent.cli.session import Session, local_command
from agent.cli.wording import facts, printable, table
from agent.domain.errors import ConfigError, RefusedError, StorageError, UsageError

if TYPE_CHECKING:
    from agent.slicing.preset_file import PresetFile
    from agent.slicing.preset_import import Imported

_KINDS = ("printers", "materials", "qualities")
_LEFT_OUT_SHOWN = 12


@click.group("profile")
def profile() -> None:
    """Printers, materials and qualities."""


@profile.command("list")
@local_command
def list_profiles(session: Session) -> int:
    """List all profiles; your own hide bundled ones of the same name."""
    from agent.paths import profiles_dirs

    rows = [_entry(kind, name, path) for kind, name, path in _files(profiles_dirs())]
    cells = [[row["kind"], row["name"], printable(row["error"] or row["title"])] for row in rows]
    session.show({"profiles": rows}, lambda: table(["KIND", "NAME", "TITLE"], cells))
    return 0


@profile.command("show")
@click.option("--printer", metavar="NAME", help="Printer profile. Default: the configured one.")
@click.option("--material", metavar="NAME", default="pla", show_default=True, help="Material.")
@click.option("--quality", metavar="NAME", default="standard", show_default=True, help="Quality.")
@click.option(
    "--engine",
    type=click.Choice(["prusaslicer", "curaengine"]),
    help="Show every setting this slicer is given.",
)
@local_command
def show(session: Session, *, printer: str | None, material: str, quality: str, engine: str | None) -> int:
    """Show what a printer, a material and a quality come to together."""
    from agent.paths import default_config, profiles_dirs
    from agent.settings import load_settings
    from agent.slicing.setup import load_setup

    settings = load_settings(session.config or default_config())
    setup = load_setup(printer or settings.printer.profile, material, quality, profiles_dirs())
    document = _setup_document(setup)
    if engine is not None:
        document["settings"] = _engine_settings(setup, engine)
    session.show(document, lambda: _setup_text(document))
    return 0


@profile.command("import")
@click.argument("source", metavar="FILE|VENDOR")
@click.option("--name", metavar="NAME", help="What to call it: lower-case letters, digits, '-'.")
@click.option("--printer", metavar="PRESET", help="A printer preset of the vendor's bundle.")
@click.option("--material", metavar="PRESET", help="A filament preset of the vendor's bundle.")
@click.option("--quality", metavar="PRESET", help="A print preset of the vendor's bundle.")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where profiles go. Default: beside your configuration.",
)
@click.option("--force", is_flag=True, help="Write over a profile of the same name.")
@click.option("--dry-run", is_flag=True, help="Show the profiles, write nothing.")
@local_command
def import_presets(
    session: Session,
    *,
    source: str,
    name: str | None,
    printer: str | None,
    material: str | None,
    quality: str | None,
    target: Path | None,
    force: bool,
    dry_run: bool,
) -> int:
    """Take over a PrusaSlicer .ini, or presets of a vendor whose bundle is installed here.

    Without preset names a bundle's presets are listed.
    """
    from agent.slicing.preset_file import PresetFile, vendor_file

    path = Path(source)
    if path.suffix == ".ini" or len(path.parts) > 1:
        demand_file(path)
    elif not path.is_file():
        path = vendor_file(source)
    file = PresetFile.read(path)
    wanted = {"printer": printer, "filament": material, "print": quality}
    if file.presets and not file.flat and not any(wanted.values()):
        _show_presets(session, file)
        return 0
    found = _import(file, wanted)
    results = _write(found, name, target or _own_dir(), force=force, dry_run=dry_run)
    session.show({"imported": results}, lambda: _imported_text(results, dry_run=dry_run))
    return 0


def _files(search: tuple[Path, ...]) -> list[tuple[str, str, Path]]:
    from agent.slicing.profile_files import ProfileKind, list_files

    return [
        (kind, name, path)
        for kind in _KINDS
        for name, path in sorted(list_files(ProfileKind(kind), search).items())
    ]


def _entry(kind: str, name: str, path: Path) -> dict[str, Any]:
    entry = {"kind": kind, "name": name, "title": "", "path": str(path), "error": ""}
    try:
        return {**entry, "title": _title(kind, path)}
    except ConfigError as error:
        return {**entry, "error": error.message}


def _title(kind: str, path: Path) -> str:
    """Read and validate a profile; ConfigError when it cannot be used."""
    from agent.slicing.material import MaterialDocument
    from agent.slicing.printer_document import ProfileDocument
    from agent.slicing.quality import QualityDocument
    from agent.slicing.setup import read_layer

    if kind == "printers":
        return read_layer(path, ProfileDocument).title
    if kind == "materials":
        return read_layer(path, MaterialDocument).title
    return read_layer(path, QualityDocument).title


def _setup_document(setup: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from agent.slicing.sliced_scripts import end_lines, start_lines

    return {
        "printer": setup.printer,
        "material": setup.material,
        "quality": setup.quality,
        "digest": setup.digest,
        "layer_mm": setup.layer_mm,
        "first_layer_mm": setup.first_layer_mm,
        "walls": setup.walls,
        "infill_percent": setup.infill_percent,
        "targets": asdict(setup.targets),
        "speeds": asdict(setup.speeds),
        "usable_mm": list(setup.usable_mm),
        "start": list(start_lines(setup)),
        "end": list(end_lines(setup)),
    }


def _engine_settings(setup: Any, engine: str) -> dict[str, str]:
    from agent.slicing import curaengine_settings, prusaslicer_ini

    render = prusaslicer_ini.render if engine == "prusaslicer" else curaengine_settings.render
    return render(setup)


def _setup_text(document: dict[str, Any]) -> str:
    targets, speeds = document["targets"], document["speeds"]
    bed = f", bed {targets['first_bed_c']:g}/{targets['bed_c']:g}" if targets["bed_c"] else ""
    width, depth, height = document["usable_mm"]
    head = facts([
        ("printer", document["printer"]), ("material", document["material"]), ("quality", document["quality"]),
        ("digest", document["digest"][:16]),
        ("layers", f"{document['layer_mm']:g} mm, first {document['first_layer_mm']:g} mm"),
        ("walls", f"{document['walls']}, infill {document['infill_percent']:g} %"),
        ("°C", f"nozzle {targets['first_nozzle_c']:g}/{targets['nozzle_c']:g}{bed}"),
        ("speed", f"outer wall {speeds['outer_wall']:g}, infill {speeds['infill']:g} mm/s"),
        ("acceleration", f"{speeds['acceleration']:g} mm/s²"),
        ("room", f"{width:g} x {depth:g} x {height:g} mm"),
    ])  # fmt: skip
    parts = [head, "", "start:", *(f"  {line}" for line in document["start"])]
    parts += ["end:", *(f"  {line}" for line in document["end"])]
    settings = document.get("settings")
    if settings:
        parts += ["settings:", *(f"  {key} = {printable(value)}" for key, value in settings.items())]
    return "\n".join(parts)


def _show_presets(session: Session, file: PresetFile) -> None:
    names = {kind: file.names(kind) for kind in ("printer", "filament", "print")}
    options = {"printer": "--printer", "filament": "--material", "print": "--quality"}
    lines = [f'{options[kind]} "{printable(name)}"' for kind, found in names.items() for name in found]
    session.show({"source": file.source, "presets": names}, "\n".join(lines))


def _import(file: PresetFile, wanted: dict[str, str | None]) -> dict[str, tuple[str, Imported]]:
    """Return folder → (suggested name, profile)."""
    from agent.slicing.preset_import import import_material, import_printer, import_quality
    from agent.slicing.preset_values import SETTINGS_ABSENT

    readers = {"printer": ("printers", import_printer), "filament": ("materials", import_material),
               "print": ("qualities", import_quality)}  # fmt: skip
    found: dict[str, tuple[str, Imported]] = {}
    absent: list[ConfigError] = []
    for kind, (folder, read) in readers.items():
        preset = wanted[kind]
        if preset is None and (not file.flat or any(wanted.values())):
            continue
        settings = file.flat if preset is None else file.resolved(kind, preset)
        name = preset or Path(file.source).stem
        try:
            found[folder] = (name, read(settings, name))
        except ConfigError as error:
            # An export of one kind is no mistake; a value that cannot be used is.
            if error.code != SETTINGS_ABSENT or preset is not None:
                raise ConfigError(f"{file.source}: {error.message}", remedy=error.remedy) from None
            absent.append(error)
    if not found:
        told = "; ".join(error.message for error in absent) or "nothing to import"
        raise ConfigError(f"{file.source}: {told}", remedy=absent[0].remedy if absent else "")
    return found


def _write(
    found: dict[str, tuple[str, Imported]], name: str | None, target: Path, *, force: bool, dry_run: bool
) -> list[dict[str, Any]]:
    import re

    from agent.slicing.profile_files import is_profile_name
    from agent.slicing.toml_text import toml_text

    results: list[dict[str, Any]] = []
    for folder, (suggested, imported) in found.items():
        chosen = name or re.sub(r"[^a-z0-9]+", "-", suggested.lower()).strip("-")[:64]
        if not is_profile_name(chosen):
            raise UsageError(
                f"{chosen!r} is no profile name", remedy="use --name with letters, digits and '-'"
            )
        path = target / folder / f"{chosen}.toml"
        if path.exists() and not force and not dry_run:
            raise RefusedError(f"{path} exists", remedy="use --force to write over it, or --name")
        heading = (
            f"Imported from {printable(suggested)}. Check temperatures, limits and scripts before printing."
        )
        text = toml_text(imported.document, heading)
        results.append(
            {"kind": folder, "name": chosen, "path": str(path), "left_out": imported.left_out, "toml": text}
        )
    if not dry_run:
        _save(results)
    return results


def _save(results: list[dict[str, Any]]) -> None:
    for result in results:
        path = Path(result["path"])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(result["toml"], encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"{path}: cannot be written: {error.strerror}", remedy="check its owner, or name another --to"
            ) from None


def _own_dir() -> Path:
    from agent.paths import config_dirs

    return config_dirs()[0] / "profiles"


def _imported_text(results: list[dict[str, Any]], *, dry_run: bool) -> str:
    lines: list[str] = []
    for result in results:
        if dry_run:
            lines += [f"--- {result['path']}", result["toml"]]
        else:
            lines.append(f"wrote {result['path']}")
        left_out = result["left_out"]
        lines += [f"  not taken over: {printable(item)}" for item in left_out[:_LEFT_OUT_SHOWN]]
        if len(left_out) > _LEFT_OUT_SHOWN:
            lines.append(f"  ... and {len(left_out) - _LEFT_OUT_SHOWN} more (--json shows all)")
    return "\n".join(lines)
