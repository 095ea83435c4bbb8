"""Commands that move or describe motion: G0-G3, G28, G29, G92, modes, M114, M119, M400, M410."""

from __future__ import annotations

from math import atan2, ceil, cos, hypot, pi, sin, sqrt
from typing import TYPE_CHECKING

from agent.sim.dialects import ReportStyle
from agent.sim.motion import AXES
from agent.sim.waiting import Handler, Wait, for_model_time, until_still

if TYPE_CHECKING:
    from agent.sim.board import Board
    from agent.sim.command import Command
    from agent.sim.lookahead import Position

ARC_SEGMENT_MM = 1.0
MAX_ARC_SEGMENTS = 2000  # a damaged radius must not become an hour of arithmetic
HOMING_SPEED = (50.0, 50.0, 4.0)  # mm/s
HOMING_EXTRA_S = 1.2  # bump back and second touch, per axis
PROBE_POINTS = 9
PROBE_POINT_S = 2.0
CLEANING_S = 1.0  # after a quick stop Marlin takes no move for this long


def straight(board: Board, command: Command) -> None:
    """G0, G1: a straight move. The caller has seen to it that the planner has room."""
    motion = board.motion
    x, y, z, e = motion.position
    for letter, value in command.numbers():
        if letter == "X":
            x = motion.target(0, value)
        elif letter == "Y":
            y = motion.target(1, value)
        elif letter == "E":
            e = motion.target(3, value)
        elif letter == "Z":
            z = motion.target(2, value)
        elif letter == "F" and value > 0.0:
            motion.feedrate = value * (25.4 if motion.inches else 1.0) / 60.0
    if board.now >= board.cleaning_until:  # Marlin drops moves while it cleans up after a quick stop
        board.move_to((x, y, z, e))


def arc(board: Board, command: Command) -> Wait | None:
    """G2, G3: an arc in the XY plane given by I and J or by R, cut into straight pieces."""
    motion = board.motion
    feed = command.number("F")
    if feed:
        motion.feedrate = feed * (25.4 if motion.inches else 1.0) / 60.0
    start = motion.position
    values = [command.number(letter) for letter in AXES]
    end = tuple(start[i] if v is None else motion.target(i, v) for i, v in enumerate(values))
    centre = _arc_centre(board, command, end[0], end[1])
    if centre is None:
        board.say(board.dialect.bad_arc)
        return None
    points = _arc_points(start, (end[0], end[1], end[2], end[3]), centre, clockwise=command.code == "G2")
    return _run_arc(board, points)


def _arc_centre(board: Board, command: Command, x: float, y: float) -> tuple[float, float] | None:
    px, py = board.motion.position[:2]
    if command.has("R"):
        r = command.value("R", 0.0)
        dx, dy = x - px, y - py
        chord = hypot(dx, dy)
        if not r or not chord:
            return None
        height = sqrt(max(0.0, r * r - chord * chord / 4.0))
        side = -1.0 if (command.code == "G2") != (r < 0.0) else 1.0
        return (px + x) / 2.0 - side * dy / chord * height, (py + y) / 2.0 + side * dx / chord * height
    if not command.has("I") and not command.has("J"):
        return None
    i, j = command.value("I", 0.0), command.value("J", 0.0)
    return (px + i, py + j) if i or j else None


def _arc_points(
    start: Position, end: Position, centre: tuple[float, float], *, clockwise: bool
) -> list[Position]:
    cx, cy = centre
    radius = hypot(start[0] - cx, start[1] - cy)
    first = atan2(start[1] - cy, start[0] - cx)
    sweep = (atan2(end[1] - cy, end[0] - cx) - first) % (2.0 * pi)
    if clockwise:
        sweep -= 2.0 * pi
    if abs(sweep) < 1e-9 or (start[0], start[1]) == (end[0], end[1]):
        sweep = -2.0 * pi if clockwise else 2.0 * pi
    count = max(1, min(MAX_ARC_SEGMENTS, ceil(abs(sweep) * radius / ARC_SEGMENT_MM)))
    points = []
    for k in range(1, count):
        part = k / count
        angle = first + sweep * part
        points.append(
            (
                cx + radius * cos(angle),
                cy + radius * sin(angle),
                start[2] + (end[2] - start[2]) * part,
                start[3] + (end[3] - start[3]) * part,
            )
        )
    return [*points, end]


def _run_arc(board: Board, points: list[Position]) -> Wait:
    for point in points:
        while board.planner.full:
            yield board.planner.next_event()
        if board.now < board.cleaning_until:
            return
        board.move_to(point)


def home(board: Board, command: Command) -> Wait:
    """G28: homes the named axes, or all; prints one position line at its end."""
    yield from until_still(board)
    motion = board.motion
    axes = [i for i in range(3) if command.has(AXES[i])] or [0, 1, 2]
    if board.dialect.name == "prusa-mk3" and command.has("W"):
        axes = [0, 1, 2]
    yield from _lift(board)
    for axis in axes:
        way = abs(motion.native(motion.position)[axis])
        yield from for_model_time(board, way / HOMING_SPEED[axis] + HOMING_EXTRA_S)
        motion.set_home(axis)
    yield from _lift(board)
    board.last_activity = board.now
    board.event("home", axes="".join(AXES[i] for i in axes))
    if board.dialect.busy_processing:
        board.say(board.position())


def _lift(board: Board) -> Wait:
    """Marlin 2.1 homes with the nozzle at least this high above the bed, and leaves it there."""
    x, y, z, e = board.motion.position
    lift = board.dialect.homing_lift_mm - board.motion.native(board.motion.position)[2]
    if lift > 0.0:
        yield from for_model_time(board, lift / HOMING_SPEED[2])
        board.motion.set_position((x, y, z + lift, e))


def level(board: Board, _command: Command) -> Wait:
    """G29: probes a grid of nine points."""
    yield from until_still(board)
    if not all(board.motion.homed):
        board.error("echo:Home XYZ First")
        return
    yield from for_model_time(board, PROBE_POINTS * PROBE_POINT_S)
    board.last_activity = board.now
    board.say("Bilinear Leveling Grid:")
    board.say("      0      1      2")
    for row in range(3):
        board.say(f" {row} " + " ".join(f"{(row - column) * 0.012:+.3f}" for column in range(3)))
    board.say("")


def finish_moves(board: Board, _command: Command) -> Wait:
    """M400."""
    yield from until_still(board)


def quick_stop(board: Board, _command: Command) -> Wait:
    """M410: stops at once, then takes a second to clean up."""
    board.quick_stop(CLEANING_S)
    yield from until_still(board)


def set_position(board: Board, command: Command) -> None:
    """G92. Marlin 2 reports the position by itself, with the steps the motors have made by now."""
    motion, dialect = board.motion, board.dialect
    values = [command.number(letter) for letter in AXES]
    if dialect.g92_clears and all(v is None for v in values):
        values = [0.0, 0.0, 0.0, 0.0]
    scale = 25.4 if motion.inches else 1.0
    x, y, z, e = (motion.position[i] if v is None else v * scale for i, v in enumerate(values))
    (motion.shift_to if dialect.keeps_native else motion.set_position)((x, y, z, e))
    if dialect.report_style is ReportStyle.MARLIN:
        board.say(board.position(projected=False))


def where(board: Board, _command: Command) -> Wait | None:
    """M114. Marlin 1.1 waits for the moves first."""
    if board.dialect.report_style is ReportStyle.MARLIN_OLD:
        return _where_at_rest(board)
    line = board.position()
    board.say(line)
    board.ok_done = line.startswith("ok ")
    return None


def _where_at_rest(board: Board) -> Wait:
    yield from until_still(board)
    board.say(board.position())


def endstops(board: Board, _command: Command) -> None:
    """M119: an end stop is pressed where its axis was homed."""
    motion = board.motion
    place = motion.actual(board.now)
    board.say("Reporting endstop status")
    for i, axis in enumerate("xyz"):
        pressed = motion.limited[i] and place[i] <= 0.0
        board.say(f"{axis}_min: {'TRIGGERED' if pressed else 'open'}")


def _mode(board: Board, command: Command) -> None:
    motion = board.motion
    code = command.code
    if code in ("G90", "G91"):
        motion.relative = code == "G91"
        motion.relative_e = motion.relative
    elif code in ("M82", "M83"):
        motion.relative_e = code == "M83"
    else:
        motion.inches = code == "G20"


def _motors_off(board: Board, command: Command) -> Wait:
    yield from until_still(board)
    if command.code != "M17" and not command.has("S"):
        board.motion.homed = [False, False, False]


HANDLERS: dict[str, Handler] = {
    "G0": straight,
    "G1": straight,
    "G2": arc,
    "G3": arc,
    "G28": home,
    "G29": level,
    "G92": set_position,
    "M114": where,
    "M400": finish_moves,
    "M410": quick_stop,
    "M119": endstops,
    "M17": _motors_off,
    "M18": _motors_off,
    "M84": _motors_off,
    **dict.fromkeys(("G20", "G21", "G90", "G91", "M82", "M83"), _mode),
}
MOVES = frozenset({"G0", "G1"})  # wait for room in the planner before they count as executed
