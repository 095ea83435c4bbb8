"""Figures that stand in several layers of a profile: the same range wherever they are written."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Percent = Annotated[float, Field(ge=0, le=100, strict=False, allow_inf_nan=False)]
MOST_C = 600.0
Celsius = Annotated[float, Field(ge=0, le=MOST_C, strict=False, allow_inf_nan=False)]
FlowPercent = Annotated[float, Field(ge=50, le=150, strict=False, allow_inf_nan=False)]
MeltedRate = Annotated[float, Field(gt=0, le=100, strict=False, allow_inf_nan=False)]
"""mm³/s that a hotend melts, or a material lets it."""
RetractLength = Annotated[float, Field(ge=0, le=20, strict=False, allow_inf_nan=False)]
