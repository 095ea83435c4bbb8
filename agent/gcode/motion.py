"""Where the nozzle is and may go: positions, modes, bounds, homing, across the lines of one file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from agent.domain.artefact import Finding, Severity
from agent.domain.profile import PrinterProfile
from agent.gcode.command import Parameter

# A purge line a little beside the bed is common and harmless: the machine can reach it.
UNKNOWN_REACH_MARGIN_MM = 5.0
KNOWN_REACH_MARGIN_MM = 1.0
BELOW_BED_MM = -1.0  # Z offsets of some tenths are set this way; a millimetre goes into the bed

_XY_EXTRUDE = re.compile(rb"G1 (?:F\S+ )?(?:X\S+ (?:Y\S+ )?|Y\S+ )(?:Z\S+ )?E(?!-)")
_AXES = "XYZE"
_MAX_RECENT = 64
_MAX_RECENT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, and how many line ends lie between the start of the examined text and its cause."""

    finding: Finding
    lines_in: int = 0


def first_extrusion(text: bytes, start: int = 0, end: int | None = None) -> int:
    """Return the index of the first line of a plain run that moves and extrudes, -1 when there is none."""
    found = _XY_EXTRUDE.search(text, start, len(text) if end is None else end)
    return found.start() if found else -1


class Motion:
    """Follows modes and positions. Positions in mm, None while unknown (before and after homing)."""

    def __init__(self, profile: PrinterProfile, *, g90_sets_e: bool) -> None:
        self._g90_sets_e = g90_sets_e
        self._margin = KNOWN_REACH_MARGIN_MM if profile.reach_mm else UNKNOWN_REACH_MARGIN_MM
        reach = profile.reach_mm or tuple((0.0, size) for size in profile.volume_mm)
        self._reach = dict(zip("XYZ", reach, strict=True))
        self._name = profile.name
        self.is_relative = False
        self._e_relative = False
        self._known: dict[str, float] = {}
        self._recent: list[bytes] = []
        self.homed = False
        self.was_homed = False
        self._too_high: Finding | None = None
        self._heated = False
        self.extruded = False
        self._watching = True
        self._motors_off = False

    def run(self, text: bytes) -> list[Found]:
        """Take a run of plain lines in absolute mode; in range by their shape."""
        self._recent.append(text)
        if len(self._recent) > _MAX_RECENT or len(text) > _MAX_RECENT_BYTES:
            self._resolve()
        found = self._too_high_in(text) if self._too_high else []
        if not self._watching:
            return found
        if not self.homed and not self._motors_off and b" X" in text:
            found.append(Found(_MOVES_UNHOMED, text.count(b"\n", 0, text.index(b" X"))))
        at = first_extrusion(text)
        if at >= 0:
            lines_in = text.count(b"\n", 0, at)
            found += [Found(finding, lines_in) for finding in self._extrudes()]
        return found

    def move(self, word: str, parameters: tuple[Parameter, ...]) -> list[Finding]:
        """Take one G0 to G3 that is not plain; return what is wrong with where it goes."""
        values = {
            parameter.letter: parameter.value for parameter in parameters if parameter.value is not None
        }
        start = {axis: self.position(axis) for axis in "XYZ"}
        extrudes = self._is_extruding(values) and ("X" in values or "Y" in values)
        extent: dict[str, tuple[float, float]] = {}
        for axis in "XYZ":
            if axis in values:
                target = self._target(axis, values[axis])
                if target is None:
                    self._known.pop(axis, None)
                else:
                    self._known[axis] = target
                    extent[axis] = (target, target)
        if "E" in values:
            self._known["E"] = values["E"] + (self.position("E") or 0.0 if self._e_relative else 0.0)
        if word in ("G2", "G3"):
            extent.update(_arc_extent(word, start, self._known, values))
        findings = self._outside(extent, extrudes=extrudes)
        self._note_height(extent)
        if extrudes and self._too_high:
            findings.append(self._too_high)
            self._too_high = None
        if self._watching and not self.homed and not self._motors_off and "X" in values:
            findings.append(_MOVES_UNHOMED)
        if extrudes and self._watching:
            findings += self._extrudes()
        return findings

    def set_mode(self, word: str) -> None:
        """Take G90, G91, M82 or M83."""
        if word in ("G90", "G91"):
            self._resolve()
            self.is_relative = word == "G91"
            if self._g90_sets_e:
                self._e_relative = self.is_relative
        else:
            self._e_relative = word == "M83"

    def set_e(self, value: float) -> None:
        """Take G92 E."""
        self._resolve()
        self._known["E"] = value

    def home(self, parameters: tuple[Parameter, ...]) -> list[Finding]:
        """Take G28; homing Z over a part drives the nozzle into it."""
        axes = {parameter.letter for parameter in parameters} & set("XYZ") or set("XYZ")
        self._resolve()
        for axis in axes:
            self._known.pop(axis, None)
        self.homed, self.was_homed, self._motors_off = True, True, False
        return [_HOMES_OVER_PART] if self.extruded and "Z" in axes else []

    def probe(self) -> list[Finding]:
        """Take G29 or G80."""
        return [_PROBES_OVER_PART] if self.extruded else []

    def motors_off(self, parameters: tuple[Parameter, ...]) -> None:
        """Take M18 or M84 without a timeout: the position is lost for a print that goes on."""
        letters = {parameter.letter for parameter in parameters}
        if "S" not in letters and letters != {"E"}:
            self.homed, self._motors_off, self._watching = False, True, True

    def set_heated(self, *, is_hot: bool) -> None:
        """Take the nozzles' targets; once they are off, the next extrusion is judged again."""
        self._watching |= self._heated and not is_hot
        self._heated = is_hot

    def trust_macro(self) -> None:
        """Take a word of the profile's allow_commands: it may home and heat."""
        self.homed = self._heated = True
        self._motors_off = False
        self._resolve()
        self._known.clear()

    def position(self, axis: str) -> float | None:
        """Return the present position of an axis (`X`, `Y`, `Z`, `E`), None while unknown."""
        self._resolve()
        return self._known.get(axis)

    def _note_height(self, extent: dict[str, tuple[float, float]]) -> None:
        """A travel move above the volume is harmless unless something is extruded up there."""
        if "Z" in extent:
            height, top = extent["Z"][1], self._reach["Z"][1]
            message = f"the part is too high: Z{height:g}, {self._name} ends at {top:g} mm"
            is_high = height > top + self._margin
            self._too_high = _outside("outside_volume", Severity.ERROR, message) if is_high else None

    def _too_high_in(self, text: bytes) -> list[Found]:
        """Look whether a run extrudes before its first Z; plain lines have no Z above the volume."""
        extrusion, lowered = first_extrusion(text), text.find(b" Z")
        finding = self._too_high
        if finding is None or (extrusion < 0 and lowered < 0):
            return []
        self._too_high = None
        if extrusion < 0 or 0 <= lowered < extrusion:
            return []
        return [Found(finding, text.count(b"\n", 0, extrusion))]

    def _resolve(self) -> None:
        """Read the last position of each axis from the runs since the last time."""
        for axis in _AXES if self._recent else "":
            key = b" " + axis.encode()
            for text in reversed(self._recent):
                at = text.rfind(key)
                if at >= 0:
                    self._known[axis] = _number_at(text, at + 2)
                    break
        self._recent.clear()

    def _is_extruding(self, values: dict[str, float]) -> bool:
        if "E" not in values:
            return False
        return values["E"] > (0.0 if self._e_relative else self._known.get("E", 0.0))

    def _target(self, axis: str, value: float) -> float | None:
        if not self.is_relative:
            return value
        now = self._known.get(axis)
        return None if now is None else now + value

    def _extrudes(self) -> list[Finding]:
        """Judge an extrusion that was watched for: the first one, and the first after motors went off."""
        self.extruded = True
        self._watching = False
        findings: list[Finding] = []
        if self._motors_off:
            findings.append(_MOTORS_OFF)
        elif not self.homed:
            findings.append(_NOT_HOMED)
        if not self._heated:
            findings.append(_NOT_HEATED)
        return findings

    def _outside(self, extent: dict[str, tuple[float, float]], *, extrudes: bool) -> list[Finding]:
        findings: list[Finding] = []
        for axis, (lowest, highest) in extent.items():
            low, high = self._reach[axis]
            if axis == "Z" and lowest < BELOW_BED_MM:
                findings.append(_outside("below_bed", Severity.ERROR, f"Z{lowest:g} is below the bed"))
            elif lowest < low - self._margin or highest > high + self._margin:
                worst = lowest if lowest < low - self._margin else highest
                where = f"{axis}{worst:g} is outside {low:g} to {high:g} mm of {self._name}"
                if extrudes:
                    findings.append(
                        _outside("outside_volume", Severity.ERROR, f"the part does not fit: {where}")
                    )
                else:
                    findings.append(
                        _outside("travel_outside_volume", Severity.WARNING, f"a travel move: {where}")
                    )
        return findings


def _outside(identity: str, severity: Severity, message: str) -> Finding:
    return Finding(identity, severity, 0, message, "slice for this printer, with the part on the bed")


_NOT_HOMED = Finding(
    "not_homed",
    Severity.ERROR,
    0,
    "extrudes before the axes are homed",
    "add G28 to the slicer's start G-code",
)
_MOVES_UNHOMED = Finding(
    "moves_before_homing",
    Severity.WARNING,
    0,
    "moves before the axes are homed",
    "add G28 to the start G-code",
)
_NOT_HEATED = Finding(
    "not_heated",
    Severity.ERROR,
    0,
    "extrudes although no nozzle temperature was set: the drive would grind the filament",
    "set the filament's temperatures in the slicer",
)
_MOTORS_OFF = Finding(
    "motors_off",
    Severity.ERROR,
    0,
    "goes on printing after the motors were switched off, the position is lost",
    "remove M84/M18 from the middle of the file",
)
_HOMES_OVER_PART = Finding(
    "homes_over_part",
    Severity.ERROR,
    0,
    "homes Z after printing has begun, which drives the nozzle into the part",
    "use `G28 X Y` in the slicer's end G-code",
)
_PROBES_OVER_PART = Finding(
    "probes_over_part",
    Severity.ERROR,
    0,
    "probes the bed after printing has begun",
    "probe in the start G-code only, before anything is extruded",
)


def _number_at(text: bytes, at: int) -> float:
    end = at
    while text[end] not in b" \n":
        end += 1
    return float(text[at:end])


def _arc_extent(
    word: str, start: dict[str, float | None], end: dict[str, float], values: dict[str, float]
) -> dict[str, tuple[float, float]]:
    """Return the bounding box of an arc in X and Y; empty when the position is unknown."""
    x0, y0, x1, y1 = start["X"], start["Y"], end.get("X"), end.get("Y")
    if x0 is None or y0 is None or x1 is None or y1 is None:
        return {}
    if "R" in values:
        # Where the centre is depends on the sign; within one diameter of the start is always true.
        reach = 2 * abs(values["R"])
        return {"X": (x0 - reach, x0 + reach), "Y": (y0 - reach, y0 + reach)}
    centre_x, centre_y = x0 + values.get("I", 0.0), y0 + values.get("J", 0.0)
    radius = math.hypot(x0 - centre_x, y0 - centre_y)
    begin = math.atan2(y0 - centre_y, x0 - centre_x)
    finish = math.atan2(y1 - centre_y, x1 - centre_x)
    if word == "G2":
        begin, finish = finish, begin
    sweep = (finish - begin) % math.tau or math.tau
    xs, ys = [x0, x1], [y0, y1]
    for quarter in range(4):
        angle = quarter * math.pi / 2
        if (angle - begin) % math.tau <= sweep:
            xs.append(centre_x + radius * math.cos(angle))
            ys.append(centre_y + radius * math.sin(angle))
    return {"X": (min(xs), max(xs)), "Y": (min(ys), max(ys))}
