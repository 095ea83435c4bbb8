"""One print's setup: printer, material, quality and a job's few choices, resolved to the numbers a slicer needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent.domain.errors import RefusedError, UsageError
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.slicing.material import MaterialDocument, TemperatureTable
from agent.slicing.printer_document import MaterialOverride, ProfileDocument
from agent.slicing.profile_files import ProfileKind, find_file
from agent.slicing.profiles import to_profile
from agent.slicing.quality import QualityDocument
from agent.toml_document import TomlDocument
from agent.toml_validation import ModelT, validate

LINE_OF_NOZZLE = 1.1  # strands a little wider than the nozzle hold best
_LEAST_SPEED_MM_S = 5.0


@dataclass(frozen=True, slots=True)
class SliceChoices:
    """What a job may decide itself; None: as the quality has it. `infill_percent` 0..100, `walls` 1..20."""

    infill_percent: float | None = None
    walls: int | None = None
    supports: bool | None = None
    brim_mm: float | None = None

    def __post_init__(self) -> None:
        """UsageError for a figure out of range."""
        checks = (
            ("infill_percent", self.infill_percent, 0, 100),
            ("walls", self.walls, 1, 20),
            ("brim_mm", self.brim_mm, 0, 50),
        )
        for name, value, low, high in checks:
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} = {value:g} is outside {low} to {high}")


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets in °C; 0: off, or no such heater."""

    nozzle_c: float
    first_nozzle_c: float
    bed_c: float
    first_bed_c: float
    chamber_c: float


@dataclass(frozen=True, slots=True)
class Speeds:
    """Speeds in mm/s within the printer's limits and what nozzle and material can melt; accelerations in mm/s²."""

    outer_wall: float
    inner_wall: float
    infill: float
    solid: float
    top: float
    bridge: float
    support: float
    first_layer: float
    travel: float
    acceleration: float
    outer_wall_acceleration: float
    first_layer_acceleration: float
    travel_acceleration: float


@dataclass(frozen=True, slots=True)
class PrintSetup:
    """Everything a slicer is told. Lengths in mm. `digest` is over content, not names, layout or comments."""

    printer: str
    material: str
    quality: str
    profile: PrinterProfile
    machine: ProfileDocument
    filament: MaterialDocument
    style: QualityDocument
    choices: SliceChoices
    layer_mm: float
    first_layer_mm: float
    line_mm: float
    targets: Targets
    speeds: Speeds
    flow_percent: float
    max_flow_mm3_s: float
    retract_mm: float
    retract_speed_mm_s: float
    digest: str = field(default="")

    @property
    def infill_percent(self) -> float:
        """Density of the inside, of the job or the quality."""
        chosen = self.choices.infill_percent
        return self.style.infill.percent if chosen is None else chosen

    @property
    def walls(self) -> int:
        """Wall lines, of the job or the quality."""
        return self.choices.walls or self.style.shell.walls

    @property
    def supports(self) -> bool:
        """Whether overhangs are supported."""
        chosen = self.choices.supports
        return self.style.support.enabled if chosen is None else chosen

    @property
    def brim_mm(self) -> float:
        """Width of a brim, 0 without one."""
        if self.choices.brim_mm is not None:
            return self.choices.brim_mm
        return self.style.adhesion.brim_mm if self.style.adhesion.kind == "brim" else 0.0

    @property
    def usable_mm(self) -> tuple[float, float, float]:
        """The room for the part itself: the volume without the margin and what is printed around the part."""
        adhesion = self.style.adhesion
        around = self.brim_mm
        if adhesion.kind == "skirt" and not around:
            around = adhesion.skirt_gap_mm + adhesion.skirt_lines * self.line_mm
        elif adhesion.kind == "raft":
            around = 3.0
        width, depth, height = self.profile.volume_mm
        off = 2 * (self.machine.slicing.margin_mm + around)
        return width - off, depth - off, height


def load_setup(
    printer: str,
    material: str,
    quality: str,
    search: Sequence[Path],
    choices: SliceChoices | None = None,
) -> PrintSetup:
    """Read and resolve three layers by name.

    NotFoundError for an unknown name, ConfigError for a broken file, RefusedError (material_unsuitable,
    quality_unsuitable) when this printer cannot print so.
    """
    machine = read_layer(find_file(ProfileKind.PRINTER, printer, search), ProfileDocument)
    filament = read_layer(find_file(ProfileKind.MATERIAL, material, search), MaterialDocument)
    style = read_layer(find_file(ProfileKind.QUALITY, quality, search), QualityDocument)
    names = (printer, material, quality)
    return resolve(names, machine, filament, style, choices or SliceChoices())


def read_layer(path: Path, model: type[ModelT]) -> ModelT:
    """Return one validated layer; ConfigError names file, line and key."""
    return validate(TomlDocument.read(path), model)


def resolve(
    names: tuple[str, str, str],
    machine: ProfileDocument,
    filament: MaterialDocument,
    style: QualityDocument,
    choices: SliceChoices,
) -> PrintSetup:
    """Compose the layers: quality < material < printer < printer's `[materials.NAME]` < the job's choices."""
    profile = to_profile(names[0], machine)
    own = machine.materials.get(names[1], MaterialOverride())
    nozzle_mm = machine.geometry.nozzle_mm
    layer_mm, first_mm = style.layers.height_for(nozzle_mm), style.layers.first_for(nozzle_mm)
    if layer_mm > 0.9 * nozzle_mm:
        raise RefusedError(
            f"layers of {layer_mm:g} mm do not go with a {nozzle_mm:g} mm nozzle",
            code="quality_unsuitable",
            remedy="add this nozzle to layers.by_nozzle_mm of the quality",
        )
    line_mm = round(nozzle_mm * LINE_OF_NOZZLE, 3)
    max_flow = min(own.max_flow_mm3_s or filament.filament.max_flow_mm3_s, machine.slicing.max_flow_mm3_s)
    retract = machine.park.retract_mm if machine.slicing.retract_mm is None else machine.slicing.retract_mm
    if own.retract_mm is None:
        retract *= filament.filament.retract_percent / 100
    else:
        retract = own.retract_mm
    return PrintSetup(
        *names,
        profile=profile,
        machine=machine,
        filament=filament,
        style=style,
        choices=choices,
        layer_mm=layer_mm,
        first_layer_mm=first_mm,
        line_mm=line_mm,
        targets=_targets(profile, filament, own),
        speeds=_speeds(machine, filament, style, max_flow / (line_mm * max(layer_mm, first_mm))),
        flow_percent=own.flow_percent or filament.filament.flow_percent,
        max_flow_mm3_s=max_flow,
        retract_mm=round(retract, 3),
        retract_speed_mm_s=machine.slicing.retract_speed_mm_s or machine.park.retract_speed_mm_s,
        digest=_digest(machine, filament, style, choices),
    )


def with_choices(setup: PrintSetup, choices: SliceChoices) -> PrintSetup:
    """Return the same layers with other choices, digest included."""
    names = (setup.printer, setup.material, setup.quality)
    return resolve(names, setup.machine, setup.filament, setup.style, choices)


def _digest(
    machine: ProfileDocument, filament: MaterialDocument, style: QualityDocument, choices: SliceChoices
) -> str:
    layers = [document.model_dump(mode="json") for document in (machine, filament, style)]
    text = json.dumps([*layers, asdict(choices)], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _targets(profile: PrinterProfile, filament: MaterialDocument, own: MaterialOverride) -> Targets:
    wanted = filament.temperatures
    nozzle = wanted.nozzle_c if own.nozzle_c is None else own.nozzle_c
    first = own.first_nozzle_c or own.nozzle_c or wanted.first_nozzle_c or nozzle
    if profile.hotend.max_c < wanted.nozzle_min_c:
        raise RefusedError(
            f"{filament.title} needs {wanted.nozzle_min_c:g} °C, {profile.title} goes to {profile.hotend.max_c:g} °C",
            code="material_unsuitable",
            remedy="choose a cooler material, or correct heaters.hotend.max_c",
        )
    bed, first_bed = _bed(profile, filament, own)
    chamber = wanted.chamber_c if own.chamber_c is None else own.chamber_c
    return Targets(
        nozzle_c=min(nozzle, profile.hotend.max_c),
        first_nozzle_c=min(first, profile.hotend.max_c),
        bed_c=bed,
        first_bed_c=first_bed,
        chamber_c=_within(chamber, profile.chamber),
    )


def _bed(profile: PrinterProfile, filament: MaterialDocument, own: MaterialOverride) -> tuple[float, float]:
    wanted: TemperatureTable = filament.temperatures
    bed = wanted.bed_c if own.bed_c is None else own.bed_c
    first = next(
        (value for value in (own.first_bed_c, own.bed_c, wanted.first_bed_c) if value is not None), bed
    )
    if wanted.bed_required and profile.bed is None:
        raise RefusedError(
            f"{filament.title} needs a heated bed, {profile.title} has none",
            code="material_unsuitable",
            remedy="choose another material",
        )
    return _within(bed, profile.bed), _within(first, profile.bed)


def _within(celsius: float, limits: HeaterLimits | None) -> float:
    return 0.0 if limits is None else min(celsius, limits.max_c)


def _speeds(
    machine: ProfileDocument, filament: MaterialDocument, style: QualityDocument, melted_mm_s: float
) -> Speeds:
    """Scale the quality's speeds to this machine and material, within what moves and melts."""
    table, motion, slicing = style.speeds, machine.motion, machine.slicing
    top = min(motion.max_speed_mm_s.x, motion.max_speed_mm_s.y)
    scale = slicing.speed_percent * filament.filament.speed_percent / 10_000
    push = min(slicing.acceleration_mm_s2, motion.max_acceleration_mm_s2.x, motion.max_acceleration_mm_s2.y)

    def printed(mm_s: float) -> float:
        return round(max(_LEAST_SPEED_MM_S, min(mm_s * scale, top, melted_mm_s)), 1)

    return Speeds(
        outer_wall=printed(table.outer_wall_mm_s),
        inner_wall=printed(table.inner_wall_mm_s),
        infill=printed(table.infill_mm_s),
        solid=printed(table.solid_mm_s),
        top=printed(table.top_mm_s),
        bridge=printed(table.bridge_mm_s),
        support=printed(table.support_mm_s),
        first_layer=printed(table.first_layer_mm_s),
        travel=round(min(slicing.travel_speed_mm_s, top), 1),
        acceleration=push,
        outer_wall_acceleration=round(push * table.outer_wall_acceleration_percent / 100),
        first_layer_acceleration=round(push * table.first_layer_acceleration_percent / 100),
        travel_acceleration=min(motion.max_acceleration_mm_s2.x, motion.max_acceleration_mm_s2.y, 1.5 * push),
    )
