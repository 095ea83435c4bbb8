"""Commands that move or describe motion: G0-G3, G28, G29, G92, modes, limits, M114, M400, M410."""

from __future__ import annotations

from math import atan2, ceil, cos, hypot, pi, sin, sqrt
from typing import TYPE_CHECKING

from agent.sim import reports
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
        board.say("echo:Bad arc parameters" if board.dialect.busy_processing else "Error: Bad arc parameters")
        return None
    points = _arc_points(start, (end[0], end[1], end[2], end[3]), centre, clockwise=command.code == "G2")
    return _run_arc(board, points)


def _arc_centre(board: Board, command: Command, x: float, y: float) -> tuple[float, float] | None:
    px, py = board.motion.position[:2]
    if command.has("R"):
        r = command.value("R", 0.0)
        dx, dy = x - px, y - py
        chord = hypot(dx, dy)
        if not r or not chord or chord > 2.0 * abs(r):
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
    for axis in axes:
        yield from for_model_time(board, abs(motion.position[axis]) / HOMING_SPEED[axis] + HOMING_EXTRA_S)
        place = list(motion.position)
        place[axis] = 0.0
        motion.set_position((place[0], place[1], place[2], place[3]))
        motion.homed[axis] = True
    board.last_activity = board.now
    board.event("home", axes="".join(AXES[i] for i in axes))
    if board.dialect.busy_processing:
        board.say(reports.position(board.dialect.report_style, motion, board.now))


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


def set_position(board: Board, command: Command) -> Wait | None:
    """G92."""
    motion = board.motion
    values = [command.number(letter) for letter in AXES]
    if all(v is None for v in values):
        values = [0.0, 0.0, 0.0, 0.0]
    scale = 25.4 if motion.inches else 1.0
    place = [motion.position[i] if v is None else v * scale for i, v in enumerate(values)]
    motion.set_position((place[0], place[1], place[2], place[3]))
    if board.dialect.report_style is ReportStyle.MARLIN:
        board.say(
            reports.position(board.dialect.report_style, motion, board.now)
        )  # Marlin 2.1 reports by itself
    return None


def where(board: Board, _command: Command) -> None:
    """M114."""
    line = reports.position(board.dialect.report_style, board.motion, board.now)
    board.say(line)
    board.ok_done = line.startswith("ok ")


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


def _limits(board: Board, command: Command) -> None:
    limits = board.motion.limits
    table = {"M92": limits.steps_per_mm, "M201": limits.max_acceleration, "M203": limits.max_speed}[
        command.code
    ]
    for i, letter in enumerate(AXES):
        value = command.number(letter)
        if value:
            table[i] = max(abs(value), 0.01)


def _accelerations(board: Board, command: Command) -> None:
    limits = board.motion.limits
    both = command.number("S")
    limits.print_acceleration = max(1.0, command.value("P", both or limits.print_acceleration))
    limits.travel_acceleration = max(1.0, command.value("T", both or limits.travel_acceleration))
    limits.retract_acceleration = max(1.0, command.value("R", limits.retract_acceleration))


def _advanced(board: Board, command: Command) -> None:
    limits = board.motion.limits
    limits.min_segment_s = max(0.0, command.value("B", limits.min_segment_s * 1e6)) / 1e6
    limits.junction_deviation = min(0.3, max(0.001, command.value("J", limits.junction_deviation)))


def _percent(board: Board, command: Command) -> None:
    value = min(999.0, max(1.0, command.value("S", 100.0)))
    if command.code == "M220":
        board.motion.feed_percent = value
    else:
        board.motion.flow_percent = value


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
    "M204": _accelerations,
    "M205": _advanced,
    "M17": _motors_off,
    "M18": _motors_off,
    "M84": _motors_off,
    **dict.fromkeys(("G20", "G21", "G90", "G91", "M82", "M83"), _mode),
    **dict.fromkeys(("M92", "M201", "M203"), _limits),
    **dict.fromkeys(("M220", "M221"), _percent),
}
MOVES = frozenset({"G0", "G1"})  # wait for room in the planner before they count as executed
