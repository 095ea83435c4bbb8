"""Commands about heat and fans: M104, M109, M140, M190, M105, M155, M106, M107, M302."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from agent.sim import reports
from agent.sim.dialects import ReportStyle
from agent.sim.waiting import Handler, Wait

if TYPE_CHECKING:
    from agent.sim.board import Board
    from agent.sim.command import Command
    from agent.sim.heaters import Heater

RESIDENCY_S = 10.0  # Marlin's TEMP_RESIDENCY_TIME: so long within the window before M109 or M190 ends
REPORT_EVERY_S = 1.0  # and at once when the wait begins
COOLING_SLOPE_C = 1.5  # M109 R0 ends when the temperature fell by less ...
COOLING_CHECK_S = 60.0  # ... within this time
BED_MIN_C = 5.0  # Marlin's BED_MINTEMP: a higher target counts as printing
EXTRUDERS = 1


def _heater(board: Board, command: Command) -> Heater:
    return board.bed if command.code in ("M140", "M190") else board.hotend


def _wrong_tool(board: Board, command: Command) -> bool:
    tool = command.number("T")
    if tool is None or 0 <= tool < EXTRUDERS or command.code in ("M140", "M190"):
        return False
    if not board.dialect.names_extruders:
        return False  # there is only one, whatever its name
    board.say(f"echo:{command.code} Invalid extruder {int(tool)}")
    return True


def set_target(board: Board, command: Command) -> None:
    """M104, M140."""
    target = command.number("S")
    if target is not None and not _wrong_tool(board, command):
        board.set_heat(_heater(board, command), target)
        _run_print_timer(board, may_start=False)


def heat_and_wait(board: Board, command: Command) -> Wait | None:
    """M109, M190: S waits only for heating, R for cooling too."""
    if _wrong_tool(board, command):
        return None
    heater = _heater(board, command)
    target, waits_for_cooling = command.number("S"), False
    if target is None:
        target, waits_for_cooling = command.number("R"), True
    if target is None:
        return None
    board.set_heat(heater, target)
    _run_print_timer(board, may_start=True)
    if not waits_for_cooling and (not heater.target or heater.reading(board.now) > heater.target + 1.0):
        return None
    return _wait_for_heat(board, heater) if heater.target else _wait_for_cold(board, heater)


def _run_print_timer(board: Board, *, may_start: bool) -> None:
    """Marlin starts its print timer with a wait for heat, and stops it when all heaters are off."""
    if board.hotend.target > board.extrude_min_c / 2.0 or board.bed.target > BED_MIN_C:
        if may_start:
            board.print_timer.start(board.now)
    else:
        board.print_timer.stop(board.now)


def _wait_for_heat(board: Board, heater: Heater) -> Wait:
    board.waiting_for_heat = True
    scale = board.config.speed
    report_at = began = board.now
    # Marlin stays a third longer when the target is held from the beginning
    residency_s = RESIDENCY_S * (4.0 / 3.0 if heater.holding(began) else 1.0)
    while board.waiting_for_heat and heater.target:
        board.last_activity = board.now  # blocking heat-up holds the dead-man timer (M85) back
        reached = max(began, heater.reached_at())
        done = reached + residency_s / scale
        if board.now >= done:
            break
        if board.now >= report_at:
            _say_waiting(
                board, heater, int((done - board.now) * scale) if began < board.now >= reached else None
            )
            report_at += REPORT_EVERY_S
        yield min(report_at, done)
    board.waiting_for_heat = False


def _wait_for_cold(board: Board, heater: Heater) -> Wait:
    """M109 R0: Marlin waits until a minute brings hardly any cooling."""
    board.waiting_for_heat = True
    report_at = check_at = board.now
    before = inf
    while board.waiting_for_heat:
        board.last_activity = board.now
        if board.now >= check_at:
            here = heater.reading(board.now)
            if before - here < COOLING_SLOPE_C:
                break
            before, check_at = here, board.now + COOLING_CHECK_S / board.config.speed
        if board.now >= report_at:
            _say_waiting(board, heater, None)
            report_at += REPORT_EVERY_S
        yield min(report_at, check_at)
    board.waiting_for_heat = False


def _say_waiting(board: Board, heater: Heater, left_s: int | None) -> None:
    style, text = board.dialect.report_style, board.temperatures()
    board.say(reports.heating_wait(style, text, board.hotend, board.now, left_s, bed=heater is board.bed))


def report(board: Board, _command: Command) -> None:
    """M105: the ok and the data are one line, even where other oks carry numbers."""
    text = board.temperatures()
    if board.dialect.report_style is ReportStyle.REPETIER:
        board.say(text)  # its ok went out on receipt
    else:
        board.ok(f" {text}")
    board.ok_done = True


def auto_report(board: Board, command: Command) -> None:
    """M155 S: temperature reports every S seconds, 0 = off."""
    seconds = command.number("S")
    if seconds is not None:
        board.temperature_every_s = min(60.0, max(0.0, float(int(seconds))))
        board.schedule_reports()


def auto_position(board: Board, command: Command) -> None:
    """M154 S: position reports every S seconds, 0 = off."""
    seconds = command.number("S")
    if seconds is not None:
        board.position_every_s = min(60.0, max(0.0, float(int(seconds))))
        board.schedule_reports()


def fan(board: Board, command: Command) -> None:
    """M106, M107."""
    board.fan = 0 if command.code == "M107" else int(max(0.0, min(255.0, command.value("S", 255.0))))


def cold_extrusion(board: Board, command: Command) -> None:
    """M302: P1 allows cold extrusion, S sets its limit (0 allows it)."""
    limit = command.number("S")
    if limit is not None:
        board.extrude_min_c = limit
        board.cold_extrusion_allowed = limit <= 0.0
    if command.has("P"):
        board.cold_extrusion_allowed = bool(command.value("P", 1.0))
    elif limit is None:
        state = "en" if board.cold_extrusion_allowed else "dis"
        board.say(f"echo:Cold extrudes are {state}abled (min temp {board.extrude_min_c:.0f}C)")


HANDLERS: dict[str, Handler] = {
    "M104": set_target,
    "M140": set_target,
    "M109": heat_and_wait,
    "M190": heat_and_wait,
    "M105": report,
    "M155": auto_report,
    "M154": auto_position,
    "M106": fan,
    "M107": fan,
    "M302": cold_extrusion,
}
