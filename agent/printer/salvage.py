"""Going on after the board was reset: where the print stood, how certain that is, and how a person may go on there.

A reset board has forgotten where it is, but nothing has moved: the nozzle still stands at the height of the layer it
was printing. Z can therefore be told to the board instead of homed, which would drive the nozzle into the part. X and Y
are homed above it. That is only right while nobody touches the machine, so nothing here happens without a person.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from agent.domain.artefact import Layer, Prepared
from agent.domain.profile import PrinterProfile
from agent.gcode.modal import ModalState
from agent.gcode.place import Place
from agent.printer.dialects import Counter, Dialect
from agent.printer.feeder import modal_at, read_lines, seek_line
from agent.printer.procedures import LIFT_MM_MIN, TRAVEL_MM_MIN, number, restore_modes

AHEAD_LINES = 40
"""Acknowledged but not yet executed, at most: 16 to 32 blocks of Marlin's planner and its command slots."""
IN_FLIGHT_LINES = 64
"""Sent and perhaps executed, although no ok has come any more; as `takeover.SLACK_LINES`."""
LEAST_LIFT_MM = 2.0
"""With less room above the part the head cannot travel over it."""
PRIME_MM = 10.0
PRIME_MM_MIN = 150
"""What has oozed out while the nozzle waited is replaced, slowly, in the corner where X and Y home."""
HEIGHT_SLACK_MM = 0.05
_START_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proposal:
    """Where a print could go on. Lines are those of the prepared file, 1-based; heights in mm.

    `line`: the last one confirmed. `start_line`: where printing would begin again. `candidates`: the layers in which
    the nozzle may stand. `certain`: there is one candidate and no hop; otherwise a person has to name the layer.
    `obstacle`: why it cannot be done at all; empty when it can. `cautions`: what will be worse than before.
    """

    line: int
    start_line: int = 0
    layer: int = 0
    layers: int = 0
    height_mm: float = 0.0
    certain: bool = False
    candidates: tuple[tuple[int, float], ...] = ()
    cautions: tuple[str, ...] = ()
    obstacle: str = ""

    def document(self) -> dict[str, Any]:
        """As kept with the print."""
        shown = asdict(self)
        shown["candidates"] = [{"layer": layer, "height_mm": z_mm} for layer, z_mm in self.candidates]
        shown["cautions"] = list(self.cautions)
        return {"possible": not self.obstacle, **shown}


def propose(
    path: Path, prepared: Prepared, line: int, doubt_s: float, machine: tuple[PrinterProfile, Dialect]
) -> Proposal:
    """Say where the print at `path` stood when its board was reset.

    `line` was the last one known to be acknowledged, at most `doubt_s` seconds before. Blocking; raises OSError.
    """
    profile, dialect = machine
    obstacle = _obstacle(prepared, line, profile, dialect)
    if obstacle:
        return Proposal(line, obstacle=obstacle)
    first = max(0, line - AHEAD_LINES)
    last = min(prepared.lines, _line_after(prepared, line, doubt_s) + IN_FLIGHT_LINES)
    begins = [layer.line for layer in prepared.layers]
    here = max(1, bisect_right(begins, line))
    low, high = max(1, bisect_right(begins, first)), max(1, bisect_right(begins, last))
    layers = prepared.layers[low - 1 : high]
    layer = prepared.layers[here - 1]
    cautions, hops = [], _hops(path, prepared, (first, last), layers)
    if hops:
        cautions.append(
            f"the nozzle may have stopped in a hop, up to {max(hops):g} mm above its layer: look at it"
        )
    if _probes(path):
        cautions.append(
            "the measured bed level (G29) is lost: the new layers may be uneven by what it had levelled"
        )
    if doubt_s > 0:
        cautions.append(
            f"up to {doubt_s:.0f} s of printing behind line {line} are not known and are printed twice"
        )
    return Proposal(
        line=line,
        start_line=max(layer.line, line - AHEAD_LINES + 1),
        layer=here,
        layers=len(prepared.layers),
        height_mm=layer.z_mm,
        certain=len(layers) == 1 and not hops,
        candidates=tuple((low + index, one.z_mm) for index, one in enumerate(layers)),
        cautions=tuple(cautions),
    )


def _obstacle(prepared: Prepared, line: int, profile: PrinterProfile, dialect: Dialect) -> str:
    if dialect.counter is not Counter.PROBE or dialect.line_modulus is not None:
        return f"{dialect.title} cannot be asked which line it accepted last"
    if profile.extruders > 1:
        return "with more than one tool it is not known what each of them holds"
    if not prepared.layers:
        return "the file does not tell where its layers begin"
    if line < prepared.layers[0].line:
        return "nothing was printed yet: start it again with `fabunit job retry`"
    top = max(layer.z_mm for layer in prepared.layers if layer.line <= line)
    if profile.volume_mm[2] - top < LEAST_LIFT_MM:
        return "there is no room above the part for the head to travel"
    return ""


def _line_after(prepared: Prepared, line: int, seconds: float) -> int:
    """The line the print may have reached `seconds` later, by the estimate; generous where there is none."""
    if seconds <= 0:
        return line
    step = prepared.offset_step
    at = min(line // step, len(prepared.times) - 1)
    if at < 0:
        return prepared.lines
    mark = bisect_right(prepared.times, prepared.times[at] + seconds, at) + 1
    return min(prepared.lines, max(line, mark * step))


def _hops(path: Path, prepared: Prepared, span: tuple[int, int], layers: tuple[Layer, ...]) -> list[float]:
    """How far above all of `layers` the head moves between two lines."""
    place, top = Place(), max(layer.z_mm for layer in layers)
    hops = []
    with path.open("rb") as file:
        seek_line(file, prepared, span[0])
        for text in islice(file, span[1] - span[0]):
            place.follow([text.rstrip(b"\n")], g90_sets_e=True)
            if place.z is not None and place.z > top + HEIGHT_SLACK_MM:
                hops.append(round(place.z - top, 3))
    return hops


def _probes(path: Path) -> bool:
    with path.open("rb") as file:
        begin = b"\n" + file.read(_START_BYTES)
    return b"\nG29" in begin or b"\nG80" in begin


@dataclass(frozen=True, slots=True)
class Return:
    """All that must be known to go on behind line `line`: where, how high the nozzle stands now, and the modes."""

    line: int
    stands_mm: float
    top_mm: float
    place: Place
    modal: ModalState

    def lift_mm(self, profile: PrinterProfile) -> float:
        """How far above everything printed so far the head travels."""
        return min(profile.park_lift_mm, profile.volume_mm[2] - self.top_mm)

    def travel_mm(self, profile: PrinterProfile) -> float:
        """The height at which it travels."""
        return self.top_mm + self.lift_mm(profile)


def read_return(
    path: Path, prepared: Prepared, line: int, stands_mm: float, start: ModalState
) -> Return | None:
    """Read a prepared file up to `line`; None when it does not tell where the nozzle is there. Blocking."""
    place, left = Place(), line
    with path.open("rb") as file:
        for lines in read_lines(file):
            place.follow(lines[:left], g90_sets_e=start.g90_sets_e)
            left -= len(lines)
            if left <= 0:
                break
    if place.x is None or place.y is None or place.z is None:
        return None
    done = [layer.z_mm for layer in prepared.layers if layer.line <= line + 1]
    return Return(line, stands_mm, max([stands_mm, *done]), place, modal_at(path, line, start))


def heat(modal: ModalState) -> list[str]:
    """Bed first, so that the part holds; then the nozzle, which must be hot before it can leave the part."""
    bed, nozzle = modal.targets.get("B", 0.0), modal.targets.get(f"T{modal.tool}", 0.0)
    commands = [f"M141 S{number(modal.targets['C'])}"] if modal.targets.get("C", 0.0) > 0 else []
    if bed > 0:
        commands.append(f"M190 S{number(bed)}")
    return [*commands, *([f"M109 S{number(nozzle)}"] if nozzle > 0 else [])]


def lift(back: Return, profile: PrinterProfile) -> list[str]:
    """Tell the board how high it stands, and leave the part straight upwards."""
    up = back.travel_mm(profile) - back.stands_mm
    return [
        f"G92 Z{number(back.stands_mm)}",
        "G91",
        f"G1 Z{number(up)} F{LIFT_MM_MIN}",
        "G90",
        "M400",
        "M114",
    ]


def home() -> list[str]:
    """Never Z: the part is in the way."""
    return ["G28 X Y", "M400", "M114"]


def approach(back: Return, profile: PrinterProfile) -> list[str]:
    """Settings, fresh filament, over the place and down to it, and every mode the job had set."""
    place, speed = back.place, number(profile.retract_speed_mm_s * 60)
    retract = number(profile.retract_mm)
    commands = [*place.setting_commands, "M83", f"G1 E{number(PRIME_MM)} F{PRIME_MM_MIN}"]
    if profile.retract_mm > 0:
        commands.append(f"G1 E-{retract} F{speed}")
    commands += [
        "G90",
        f"G1 X{number(place.x or 0.0)} Y{number(place.y or 0.0)} F{TRAVEL_MM_MIN}",
        f"G1 Z{number(place.z or 0.0)} F{LIFT_MM_MIN}",
    ]
    if profile.retract_mm > 0:
        commands.append(f"G1 E{retract} F{speed}")
    return [*commands, *restore_modes(back.modal, {"E": place.e}), "M400"]
