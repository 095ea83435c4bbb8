"""Where the tool goes: modes, positions, speeds over a block, with what carries over to the next one.

Follows G0-G3, G20/G21, G28, G90/G91, G92, M82/M83, M204, F, T and what limits moves. Positions in mm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.gcode.analysis.arcs import Arcs, arcs, speed_limit
from agent.gcode.analysis.columns import Columns, held, held_where, summed, word_code
from agent.gcode.analysis.lookahead import Moves
from agent.gcode.analysis.machine import DEFAULT_FEEDRATE_MM_S, CornerRule, Machine
from agent.gcode.analysis.tokens import Flags, Floats, Integers

INCH_MM = 25.4
LEAST_MOVE_MM = 0.002  # less than a microstep makes no move
_AXES = "XYZE"
_MOVES = ("G0", "G1", "G2", "G3")
_ARCS = ("G2", "G3")
# The planner runs empty before these: they wait, probe, or change the tool.
_RESTS = ("G4", "G28", "G29", "G80", "M109", "M190", "M191", "M400", "M0", "M1", "M600", "M601")
_MAX_SPEED_MM_S = 10_000.0  # an absurd F must not turn sums into infinities


@dataclass(frozen=True, slots=True)
class Path:
    """The moves of a block: `line` of each (0-based), `start` and `end` in machine coordinates (X Y Z, shape (3, n)).

    `low`, `high`: the box of each move (3, n), bulging arcs included. `goes`: moves in space, `across`: moves in the
    plane. `tool` of each move, `extruded` in mm of filament.
    """

    line: Integers
    start: Floats
    end: Floats
    low: Floats
    high: Floats
    goes: Flags
    across: Flags
    tool: Integers
    extruded: Floats
    moves: Moves


@dataclass(slots=True)
class PathReader:
    """Follows the state from block to block. `e_apart`: G90 and G91 leave the extruder's mode alone."""

    machine: Machine
    e_apart: bool = False
    relative: bool = False
    e_relative: bool = False
    inches: bool = False
    feedrate: float = DEFAULT_FEEDRATE_MM_S
    tool: int = 0
    rests: bool = True
    position: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    _shift: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    _acceleration: float | None = None
    _travel: float | None = None
    _retract: float | None = None

    def read(self, columns: Columns) -> Path:
        """Return the moves of the next block."""
        scale = self._scale(columns)
        came = [at - shift for at, shift in zip(self.position, self._shift, strict=True)]
        e_came = self.position[3]
        logical, physical = self._positions(columns, scale)
        moving = columns.mask(*_MOVES)
        curved = columns.mask(*_ARCS)
        before = [_before(place, at) for place, at in zip(physical, came, strict=True)]
        # Only what moves the tool is a move; setting or homing a position is not.
        steps = [place - start for place, start in zip(physical[:3], before[:3], strict=True)]
        pushed = logical[3] - _before(logical[3], e_came)
        flat_sq = steps[0] * steps[0] + steps[1] * steps[1]
        space_sq = flat_sq + steps[2] * steps[2]
        least_sq = LEAST_MOVE_MM**2
        line = np.flatnonzero(moving & ((space_sq > least_sq) | (np.abs(pushed) > LEAST_MOVE_MM) | curved))
        speed, tool = self._speeds(columns, scale), self._tools(columns)
        rows = _Rows(
            line=line,
            start=np.stack([place[line] for place in before[:3]]),
            end=np.stack([place[line] for place in physical[:3]]),
            pushed=pushed[line],
            space=np.sqrt(space_sq[line]),
            across=flat_sq[line] > least_sq,
            curved=curved[line],
            speed=speed[line],
            tool=tool[line],
        )
        self.position = [float(place[-1]) for place in logical] if columns.lines else self.position
        return self._path(columns, rows, scale)

    def _scale(self, columns: Columns) -> Floats | float:
        """Return millimetres per unit, per line where G20 or G21 stand in the block."""
        now = INCH_MM if self.inches else 1.0
        if not columns.has("G20", "G21"):
            return now
        inch, metric = columns.mask("G20"), columns.mask("G21")
        scale = held_where(np.where(inch, INCH_MM, 1.0), inch | metric, now)
        self.inches = bool(scale[-1] > 1.0)
        return scale

    def _mode(self, columns: Columns, on: tuple[str, ...], off: tuple[str, ...], now: bool) -> Flags | bool:  # noqa: FBT001
        if not columns.has(*on, *off):
            return now
        relative, absolute = columns.mask(*on), columns.mask(*off)
        return held_where(relative.astype(np.float64), relative | absolute, float(now)) > 0.5

    def _positions(self, columns: Columns, scale: Floats | float) -> tuple[list[Floats], list[Floats]]:
        """Return the position on each line as the file counts it, and in machine coordinates."""
        relative = self._mode(columns, ("G91",), ("G90",), self.relative)
        both_on, both_off = (("M83",), ("M82",)) if self.e_apart else (("M83", "G91"), ("M82", "G90"))
        e_relative = self._mode(columns, both_on, both_off, self.e_relative)
        moving, setting = columns.mask(*_MOVES), columns.mask("G92")
        homing = columns.mask("G28")
        logical: list[Floats] = []
        physical: list[Floats] = []
        for index, axis in enumerate(_AXES):
            is_relative = e_relative if axis == "E" else relative
            values = columns.values(axis) * scale
            given = ~np.isnan(values)
            target = np.where(given, values, 0.0)
            steps: Floats | None = None
            if is_relative is False:
                is_set = given & (moving | setting)
            else:
                steps = np.where(moving & given & np.asarray(is_relative), values, 0.0)
                is_set = given & ((moving & ~np.asarray(is_relative)) | setting)
            if axis != "E" and columns.has("G28"):
                homed = homing & (columns.named(axis) | ~_names_axis(columns))
                is_set, target = is_set | homed, np.where(homed, 0.0, target)
            logical.append(summed(target, is_set, steps, self.position[index]))
            physical.append(self._unshifted(index, logical[-1], setting & given, homing))
        self.relative = bool(np.asarray(relative).flat[-1])
        self.e_relative = bool(np.asarray(e_relative).flat[-1])
        return logical, physical

    def _unshifted(self, index: int, logical: Floats, setting: Flags, homing: Flags) -> Floats:
        """Undo G92: return machine coordinates. The extruder's count has none."""
        if index == 3 or not (self._shift[index] or setting.any()):
            return logical
        before = np.concatenate(([self.position[index]], logical[:-1]))
        step = np.where(setting, logical - before, 0.0)
        shift = summed(np.zeros(len(logical)), homing, step, self._shift[index])
        self._shift[index] = float(shift[-1])
        return logical - shift

    def _speeds(self, columns: Columns, scale: Floats | float) -> Floats:
        rates = columns.values("F") * scale / 60.0
        moving = columns.mask(*_MOVES)
        given = moving & (rates > 0)
        speed = held_where(np.minimum(rates, _MAX_SPEED_MM_S), given, self.feedrate)
        if len(speed):
            self.feedrate = float(speed[-1])
        return speed * self.machine.speed_factor

    def _tools(self, columns: Columns) -> Integers:
        first, last = word_code("T0"), word_code("T99")
        chosen = (columns.words >= first) & (columns.words <= last)
        if not chosen.any():
            return np.full(columns.lines, self.tool)
        tools = held_where((columns.words - first).astype(np.float64), chosen, float(self.tool)).astype(
            np.int64
        )
        self.tool = int(tools[-1])
        return tools

    def _accelerations(self, columns: Columns, rows: _Rows) -> Floats:
        """M204: P (or S) while printing, T (or S) while travelling, R for the extruder alone."""
        setting = columns.mask("M204")
        machine = self.machine
        kinds = (
            ("_acceleration", ("P", "S"), machine.acceleration),
            ("_travel", ("T", "S"), machine.travel),
            ("_retract", ("R",), machine.retract),
        )
        found: list[Floats | float] = []
        for name, letters, usual in kinds:
            now = getattr(self, name) or usual
            if not setting.any():
                found.append(now)
                continue
            column = np.full(columns.lines, np.nan)
            for letter in reversed(letters):
                values = columns.values(letter)
                column = np.where(setting & (values > 0), values, column)
            full = held(column, now)
            if full[-1] != now:
                setattr(self, name, float(full[-1]))
            found.append(full[rows.line])
        travels = rows.space > LEAST_MOVE_MM
        return np.where(travels, np.where(rows.pushed != 0, found[0], found[1]), found[2])

    def _rests_before(self, columns: Columns, line: Integers) -> Flags:
        """Whether the machine comes to rest between each move and the one before it."""
        stops = columns.mask(*_RESTS)
        rests = np.zeros(len(line), bool)
        if not stops.any():
            if len(line):
                rests[0], self.rests = self.rests, False
            return rests
        rests = np.diff(np.cumsum(stops)[line], prepend=0) > 0
        if len(line):
            rests[0] |= self.rests
            self.rests = bool(stops[line[-1] :].any())
        else:
            self.rests = True
        return rests

    def _path(self, columns: Columns, rows: _Rows, scale: Floats | float) -> Path:
        acceleration = self._accelerations(columns, rows)
        pushed = rows.pushed * self.machine.flow_factor
        goes = rows.space > LEAST_MOVE_MM
        distance = np.where(goes, rows.space, np.abs(pushed))
        low, high = np.minimum(rows.start, rows.end), np.maximum(rows.start, rows.end)
        steps = np.concatenate((rows.end - rows.start, pushed[None, :]))
        enter = steps / np.maximum(distance, 1e-9)
        leave, limit = enter, np.full(len(rows.line), np.inf)
        bent = np.flatnonzero(rows.curved)
        if bent.size:
            leave = enter.copy()
            found = self._arcs(columns, rows, bent, scale)
            along = np.maximum(np.hypot(found.length, steps[2, bent]), 1e-9)
            distance[bent] = along
            enter[:, bent] = _tangents(found.enter, found.length, steps[:, bent], along)
            leave[:, bent] = _tangents(found.leave, found.length, steps[:, bent], along)
            low[:2, bent], high[:2, bent] = found.low.T, found.high.T
            jerk = min(self.machine.jerk[:2]) if self.machine.rule is CornerRule.JERK else None
            limit[bent] = speed_limit(found.radius, acceleration[bent], jerk)
        rests = self._rests_before(columns, rows.line)
        moves = Moves(distance, rows.speed, acceleration, enter, leave, rests, limit)
        return Path(
            rows.line, rows.start, rows.end, low, high, goes | rows.curved, rows.across | rows.curved, rows.tool,
            pushed, moves,
        )  # fmt: skip

    def _arcs(self, columns: Columns, rows: _Rows, bent: Integers, scale: Floats | float) -> Arcs:
        line = rows.line[bent]
        unit = scale[line] if isinstance(scale, np.ndarray) else scale
        offset = np.stack((columns.values("I")[line] * unit, columns.values("J")[line] * unit), axis=1)
        return arcs(
            rows.start[:2, bent].T,
            rows.end[:2, bent].T,
            offset,
            columns.values("R")[line] * unit,
            columns.words[line] == word_code("G2"),
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The lines of a block that move something: ends (3, n), filament pushed, lengths in space."""

    line: Integers
    start: Floats
    end: Floats
    pushed: Floats
    space: Floats
    across: Flags
    curved: Flags
    speed: Floats
    tool: Integers


def _before(place: Floats, came: float) -> Floats:
    """Return the position before each line."""
    return np.concatenate(([came], place[:-1])) if len(place) else place


def _tangents(plane: Floats, length: Floats, steps: Floats, distance: Floats) -> Floats:
    flat = plane.T * (length / distance)
    return np.concatenate((flat, steps[2:] / distance))


def _names_axis(columns: Columns) -> Flags:
    return columns.named("X") | columns.named("Y") | columns.named("Z")
