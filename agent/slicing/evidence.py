"""Whether a sliced file is what was asked for: an engine's exit status proves nothing, its file does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.domain.artefact import Prepared, Severity
from agent.slicing.engine import Engine, FoundEngine
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.setup import PrintSetup
from agent.slicing.sliced_scripts import END_MARK

TAIL_BYTES = 256 * 1024  # the configuration that PrusaSlicer appends takes about 20 KiB
LEAST_NOZZLE_C = 150.0
_HEIGHT_TOLERANCE_LAYERS = 2.0
_FILAMENT_LEAST, _FILAMENT_MOST = (
    0.02,
    4.0,
)  # of the part's volume; thin walls and supports make the span wide
_ROUNDING_MM = 0.05
_PURGE_MM3 = 400.0  # skirt and purge of a tiny part outweigh it
_VOLUME_FINDINGS = frozenset({"outside_volume", "below_bed"})
# What engines write behind the end script, besides comments: display, mode, heater off.
_HARMLESS = re.compile(r"M73 [PQRS0-9 ]+|M82(?: ;.*)?|M104 S0|\s*")


@dataclass(frozen=True, slots=True)
class MeshFacts:
    """What is known of the mesh: its size in mm as it will stand on the bed, volume in mm³, triangles."""

    size_mm: tuple[float, float, float]
    volume_mm3: float | None
    facets: int


def read_tail(path: Path) -> str:
    """Return the end of a file as text. OSError when it cannot be read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read().decode("latin-1")


def check_complete(engine: Engine, found: FoundEngine, setup: PrintSetup, tail: str) -> None:
    """Raise SliceError unless the file ends as ours do and shows the settings that were asked for.

    output_truncated: the end mark is not the last thing that does something; profile_invalid: a setting has another
    value.
    """
    _, mark, rest = tail.rpartition(f"\n{END_MARK}\n")
    if not mark:
        raise SliceError(SliceFailure.OUTPUT_TRUNCATED, f"{engine.name} left an unfinished file")
    for line in rest.split("\n"):
        if not line.startswith(";") and not _HARMLESS.fullmatch(line):
            raise SliceError(
                SliceFailure.GCODE_FORBIDDEN, f"{engine.name} wrote {line[:60]!r} behind the end of the print"
            )
    if wrong := engine.unechoed(found, setup, tail):
        raise SliceError(
            SliceFailure.PROFILE_INVALID,
            f"{engine.name} did not take over: {', '.join(wrong[:5])}",
            remedy="correct these settings in the profile",
        )


def check_prepared(setup: PrintSetup, prepared: Prepared, mesh: MeshFacts | None) -> None:
    """Raise SliceError unless gate and analysis confirm it: fits, homed, hot enough, cooled, of the right size."""
    errors = [finding for finding in prepared.findings if finding.severity is Severity.ERROR]
    ids = {finding.id for finding in errors}
    extrudes = bool(prepared.summary.get("extrudes"))
    if ids & _VOLUME_FINDINGS:
        message = next(finding.message for finding in errors if finding.id in _VOLUME_FINDINGS)
        raise SliceError(SliceFailure.OUT_OF_VOLUME, message)
    if "nothing_to_print" in ids or (not errors and not extrudes):
        raise SliceError(SliceFailure.EMPTY_RESULT, "the slicer found nothing to print in this mesh")
    if errors:
        first = errors[0]
        raise SliceError(
            SliceFailure.GCODE_FORBIDDEN, f"line {first.line}: {first.message}", remedy=first.remedy
        )
    _check_heat(setup, prepared)
    _check_size(setup, prepared, mesh)


def _check_heat(setup: PrintSetup, prepared: Prepared) -> None:
    heat: dict[str, dict[str, float]] = prepared.summary.get("temperatures", {})
    first, last = heat.get("first_c", {}), heat.get("last_c", {})
    if first.get("T0", 0.0) < LEAST_NOZZLE_C:
        raise SliceError(SliceFailure.PROFILE_INVALID, "the start script does not heat the nozzle")
    if setup.targets.first_bed_c and not first.get("B"):
        raise SliceError(SliceFailure.PROFILE_INVALID, "the start script does not heat the bed")
    on = sorted(heater for heater, celsius in last.items() if celsius > 0)
    if on:
        raise SliceError(
            SliceFailure.PROFILE_INVALID,
            f"the end script leaves heaters on: {', '.join(on)}",
            remedy="add M104 S0 and M140 S0 to scripts.end of the printer profile",
        )
    if not prepared.summary.get("homes"):
        raise SliceError(SliceFailure.PROFILE_INVALID, "the start script does not home the axes")


def _check_size(setup: PrintSetup, prepared: Prepared, mesh: MeshFacts | None) -> None:
    analysis: dict[str, Any] = prepared.summary.get("analysis", {})
    box = analysis.get("printed_box_mm")
    if not box or not prepared.layers or not prepared.metadata.estimate_s:
        raise SliceError(SliceFailure.EMPTY_RESULT, "the slicer found nothing to print in this mesh")
    _check_room(setup, box)
    if mesh is None:
        return
    height = box[1][2]
    tolerance = _HEIGHT_TOLERANCE_LAYERS * max(setup.layer_mm, setup.first_layer_mm)
    raft = 2.0 if setup.style.adhesion.kind == "raft" else 0.0
    if abs(height - mesh.size_mm[2]) > tolerance + raft:
        raise SliceError(
            SliceFailure.EMPTY_RESULT,
            f"the sliced part is {height:g} mm high, the mesh {mesh.size_mm[2]:g} mm",
            remedy="repair the mesh: parts of it are lost while slicing",
        )
    if mesh.volume_mm3:
        _check_filament(setup, float(sum(analysis["filament_mm"].values())), mesh.volume_mm3)


def _check_room(setup: PrintSetup, box: list[list[float]]) -> None:
    """Our own files have no excuse: skirt and purge lines stay within reach, without the gate's tolerance."""
    profile = setup.profile
    reach = profile.reach_mm or tuple((0.0, size) for size in profile.volume_mm)
    for axis, (low, high), least, most in zip("XYZ", reach, *box, strict=True):
        if axis != "Z" and (least < low - _ROUNDING_MM or most > high + _ROUNDING_MM):
            raise SliceError(
                SliceFailure.OUT_OF_VOLUME,
                f"the print goes from {axis}{least:g} to {axis}{most:g} mm, {profile.title} from {low:g} to {high:g}",
            )


def _check_filament(setup: PrintSetup, filament_mm: float, volume_mm3: float) -> None:
    radius = setup.machine.slicing.filament_mm / 2
    pushed = 3.141592653589793 * radius * radius * filament_mm
    most = _FILAMENT_MOST * volume_mm3 * (3.0 if setup.supports else 1.0) + _PURGE_MM3
    if not _FILAMENT_LEAST * volume_mm3 <= pushed <= most:
        raise SliceError(
            SliceFailure.EMPTY_RESULT,
            f"the print takes {pushed / 1000:.1f} cm³ of plastic, the part has {volume_mm3 / 1000:.1f} cm³",
            remedy="repair the mesh: it is not sliced as it looks",
        )
