"""Materials: TOML files in `materials/` below each search root, what a filament needs."""

from __future__ import annotations

from pydantic import Field, model_validator

from agent.slicing.engine_keys import EngineTable
from agent.slicing.figures import Celsius, FlowPercent, MeltedRate, Percent
from agent.toml_validation import StrictModel


class TemperatureTable(StrictModel):
    """`[temperatures]`: targets in °C, and the window outside which this material is not printed."""

    nozzle_c: Celsius = Field(description="°C of the nozzle from the second layer on")
    first_nozzle_c: Celsius | None = Field(
        default=None, description="°C on the first layer; absent: nozzle_c"
    )
    bed_c: Celsius = Field(default=0.0, description="°C of the bed; 0: needs none")
    first_bed_c: Celsius | None = Field(default=None, description="°C on the first layer; absent: bed_c")
    chamber_c: Celsius = Field(default=0.0, description="°C of a heated chamber where there is one")
    nozzle_min_c: Celsius = Field(description="least °C at which it melts well enough")
    nozzle_max_c: Celsius = Field(description="most °C before it degrades")
    bed_required: bool = Field(default=False, description="true: does not hold without a heated bed")

    @model_validator(mode="after")
    def _check_window(self) -> TemperatureTable:
        for name in ("nozzle_c", "first_nozzle_c"):
            value = getattr(self, name)
            if value is not None and not self.nozzle_min_c <= value <= self.nozzle_max_c:
                raise ValueError(
                    f"{name} must lie between nozzle_min_c and nozzle_max_c "
                    f"({self.nozzle_min_c:g} to {self.nozzle_max_c:g})"
                )
        return self


class FilamentTable(StrictModel):
    """`[filament]`: what is known about the strand."""

    density_g_cm3: float = Field(gt=0.1, le=10, strict=False, description="g/cm³, 0.1 to 10")
    flow_percent: FlowPercent = Field(default=100.0, description="extrusion multiplier in percent, 50 to 150")
    max_flow_mm3_s: MeltedRate = Field(default=10.0, description="most it melts in mm³/s, up to 100")
    retract_percent: float = Field(
        default=100.0,
        ge=0,
        le=200,
        strict=False,
        description="of the printer's retraction, in percent, 0 to 200",
    )
    speed_percent: float = Field(
        default=100.0,
        ge=10,
        le=200,
        strict=False,
        description="of the printing speeds, in percent, 10 to 200",
    )


class CoolingTable(StrictModel):
    """`[cooling]`: the part fan, and how small layers are given time."""

    fan_min_percent: Percent = Field(default=100.0, description="least speed of the part fan, 0 to 100")
    fan_max_percent: Percent = Field(
        default=100.0, description="speed of the part fan on short layers, 0 to 100"
    )
    bridge_percent: Percent = Field(default=100.0, description="speed of the part fan on bridges, 0 to 100")
    off_layers: int = Field(default=1, ge=0, le=100, description="first layers without fan, 0 to 100")
    short_layer_s: float = Field(
        default=10.0, ge=0, le=600, strict=False, description="layers shorter than this slow down, in seconds"
    )
    min_speed_mm_s: float = Field(
        default=15.0, gt=0, le=200, strict=False, description="never slower than this in mm/s"
    )

    @model_validator(mode="after")
    def _check_order(self) -> CoolingTable:
        if self.fan_min_percent > self.fan_max_percent:
            raise ValueError("fan_min_percent must not be above fan_max_percent")
        return self


class MaterialDocument(StrictModel):
    """A whole material as it stands in the file."""

    title: str = Field(min_length=1, max_length=80, description="text for people, 1 to 80 characters")
    type: str = Field(
        pattern=r"^[A-Z0-9+-]{1,16}$", description="family in capitals, such as PLA, PETG, ABS, TPU or PA"
    )
    temperatures: TemperatureTable = Field(description="a table with nozzle_c, nozzle_min_c, nozzle_max_c")
    filament: FilamentTable = Field(description="a table with density_g_cm3")
    cooling: CoolingTable = Field(default_factory=CoolingTable, description="a table")
    engine: EngineTable = Field(default_factory=EngineTable, description="a table")
