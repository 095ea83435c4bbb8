"""Qualities: TOML files in `qualities/` below each search root, how fine, strong and fast to print."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent.slicing.engine_keys import EngineTable
from agent.slicing.figures import Percent
from agent.toml_validation import StrictModel

LayerHeight = Annotated[float, Field(ge=0.02, le=2, strict=False, allow_inf_nan=False)]
Speed = Annotated[float, Field(gt=0, le=1000, strict=False, allow_inf_nan=False)]

MAX_HEIGHT_OF_NOZZLE = 0.8  # a flatter strand does not stick to the one below


class LayersTable(StrictModel):
    """`[layers]`: heights in mm, for the common 0.4 mm nozzle and, where given, for others."""

    height_mm: LayerHeight = Field(description="layer height for a 0.4 mm nozzle, 0.02 to 2")
    first_mm: LayerHeight = Field(default=0.2, description="height of the first layer, 0.02 to 2")
    by_nozzle_mm: dict[str, LayerHeight] = Field(
        default={}, max_length=20, description="heights by nozzle diameter, such as { '0.6' = 0.3 }"
    )

    @model_validator(mode="after")
    def _check_nozzles(self) -> LayersTable:
        for nozzle in self.by_nozzle_mm:
            try:
                is_size = 0.05 <= float(nozzle) <= 5
            except ValueError:
                is_size = False
            if not is_size:
                raise ValueError(f"{nozzle!r} is no nozzle diameter in mm")
        return self

    def height_for(self, nozzle_mm: float) -> float:
        """Return the layer height for a nozzle: as given, else in proportion to its diameter, in 0.01 mm steps."""
        for nozzle, height in self.by_nozzle_mm.items():
            if abs(float(nozzle) - nozzle_mm) < 0.01:
                return height
        return max(0.02, round(min(self.height_mm * nozzle_mm / 0.4, MAX_HEIGHT_OF_NOZZLE * nozzle_mm), 2))

    def first_for(self, nozzle_mm: float) -> float:
        """Return the height of the first layer, never more than the nozzle can lay."""
        return round(min(self.first_mm * max(1.0, nozzle_mm / 0.4), 0.75 * nozzle_mm), 2)


class ShellTable(StrictModel):
    """`[shell]`: walls, floors and ceilings."""

    walls: int = Field(default=2, ge=1, le=50, description="wall lines, 1 to 50")
    top_layers: int = Field(default=5, ge=0, le=100, description="solid layers on top, 0 to 100")
    bottom_layers: int = Field(default=4, ge=0, le=100, description="solid layers below, 0 to 100")
    min_thickness_mm: float = Field(
        default=0.8,
        ge=0,
        le=20,
        strict=False,
        description="solid at least this thick on top and below, in mm",
    )
    seam: Literal["nearest", "aligned", "rear", "random"] = Field(
        default="aligned", description="'nearest', 'aligned', 'rear' or 'random'"
    )
    elephant_foot_mm: float = Field(
        default=0.15, ge=0, le=1, strict=False, description="mm the first layer is drawn in, 0 to 1"
    )


class InfillTable(StrictModel):
    """`[infill]`: what is inside."""

    percent: Percent = Field(default=15.0, description="density in percent, 0 to 100")
    pattern: Literal["grid", "gyroid", "cubic", "lines", "triangles", "honeycomb", "concentric"] = Field(
        default="grid",
        description="'grid', 'gyroid', 'cubic', 'lines', 'triangles', 'honeycomb' or 'concentric'",
    )


class SpeedTable(StrictModel):
    """`[speeds]`: mm/s for a machine with slicing.speed_percent = 100."""

    outer_wall_mm_s: Speed = Field(default=30.0, description="mm/s")
    inner_wall_mm_s: Speed = Field(default=45.0, description="mm/s")
    infill_mm_s: Speed = Field(default=70.0, description="mm/s")
    solid_mm_s: Speed = Field(default=50.0, description="mm/s")
    top_mm_s: Speed = Field(default=35.0, description="mm/s")
    bridge_mm_s: Speed = Field(default=30.0, description="mm/s")
    support_mm_s: Speed = Field(default=45.0, description="mm/s")
    first_layer_mm_s: Speed = Field(default=20.0, description="mm/s")
    outer_wall_acceleration_percent: float = Field(
        default=60.0, ge=5, le=100, strict=False, description="of the printer's acceleration, 5 to 100"
    )
    first_layer_acceleration_percent: float = Field(
        default=50.0, ge=5, le=100, strict=False, description="of the printer's acceleration, 5 to 100"
    )


class SupportTable(StrictModel):
    """`[support]`: what holds overhangs."""

    enabled: bool = Field(default=False, description="true or false")
    overhang_deg: float = Field(
        default=50.0, ge=1, le=90, strict=False, description="overhangs beyond this many ° from the vertical"
    )
    from_bed_only: bool = Field(default=False, description="true: never stand on the part")
    density_percent: Percent = Field(default=15.0, description="0 to 100")
    gap_mm: float = Field(default=0.2, ge=0, le=2, strict=False, description="mm between support and part")


class AdhesionTable(StrictModel):
    """`[adhesion]`: what holds the part to the bed."""

    kind: Literal["none", "skirt", "brim", "raft"] = Field(
        default="skirt", description="'none', 'skirt', 'brim' or 'raft'"
    )
    brim_mm: float = Field(
        default=5.0, ge=0, le=50, strict=False, description="width of a brim in mm, 0 to 50"
    )
    skirt_lines: int = Field(default=1, ge=0, le=10, description="lines around the part, 0 to 10")
    skirt_gap_mm: float = Field(default=3.0, ge=0, le=50, strict=False, description="mm, 0 to 50")


class QualityDocument(StrictModel):
    """A whole quality as it stands in the file."""

    title: str = Field(min_length=1, max_length=80, description="text for people, 1 to 80 characters")
    layers: LayersTable = Field(description="a table with height_mm")
    shell: ShellTable = Field(default_factory=ShellTable, description="a table")
    infill: InfillTable = Field(default_factory=InfillTable, description="a table")
    speeds: SpeedTable = Field(default_factory=SpeedTable, description="a table")
    support: SupportTable = Field(default_factory=SupportTable, description="a table")
    adhesion: AdhesionTable = Field(default_factory=AdhesionTable, description="a table")
    engine: EngineTable = Field(default_factory=EngineTable, description="a table")
