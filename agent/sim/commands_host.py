"""Commands between host and firmware: identity, numbering, messages, pauses, keep-alive, stops."""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING

from agent.sim.commands_heat import EXTRUDERS
from agent.sim.dialects import ReportStyle
from agent.sim.waiting import Handler, Wait, for_model_time, until, until_still

if TYPE_CHECKING:
    from agent.sim.board import Board
    from agent.sim.command import Command

_M118_FLAG = re.compile(r"[ ]*([AEP])(\d+)[ ]?")
MAX_KEEPALIVE_S = 60.0


def dwell(board: Board, command: Command) -> Wait:
    """G4: waits for the moves, then P milliseconds or S seconds."""
    yield from until_still(board)
    seconds = command.value("S", command.value("P", 0.0) / 1000.0)
    yield from for_model_time(board, max(0.0, seconds))


def pause_for_user(board: Board, command: Command) -> Wait:
    """M0, M1: waits for the button, M108 or M876; with P or S not longer than that."""
    limit = inf
    text = command.rest.strip()
    if command.has("S") or command.has("P"):
        limit = command.value("S", command.value("P", 0.0) / 1000.0) / board.config.speed
        text = ""
    yield from until_still(board)
    if board.dialect.host_prompts:
        board.prompt(text or f"{command.code} Stop")
    elif text:
        board.say(f"echo:{text}")
    yield from _until_user(board, board.now + limit if limit > 0.0 else inf)


def change_filament(board: Board, _command: Command) -> Wait:
    """M600: parks, then waits for the person."""
    yield from until_still(board)
    yield from for_model_time(board, 4.0)
    if board.dialect.host_prompts:
        board.prompt("Nozzle Parked")
    yield from _until_user(board, inf)
    yield from for_model_time(board, 4.0)


def _until_user(board: Board, limit: float) -> Wait:
    board.waiting_for_user = True
    board.event("user_wait")
    while board.waiting_for_user and board.now < limit:
        yield limit
    board.waiting_for_user = False


def go_on(board: Board, _command: Command) -> None:
    """M108, M876: ends the wait for heat or person (seen here only when nothing else took it earlier)."""
    board.release()


def kill(board: Board, _command: Command) -> None:
    """M112 that came to its turn in the queue."""
    board.emergency_stop()
    board.ok_done = True


def set_number(board: Board, command: Command) -> None:
    """M110: sets the line number, or reports it."""
    number = command.line_number()
    if number is not None and board.dialect.m110_sets:
        board.counter.last = number
        board.number_set(board.counter.last)
    elif number is None and board.dialect.m110_reports:
        board.say(f"Line: {board.counter.last}")


def identify(board: Board, _command: Command) -> None:
    """M115."""
    lines = board.dialect.m115
    if board.dialect.report_style is ReportStyle.KLIPPER:
        board.ok(f" {lines[0]}")
        board.ok_done = True
        return
    for line in lines:
        board.say(board.built(line))


def settings(board: Board, _command: Command) -> None:
    """M503."""
    for line in board.settings():
        board.say(line)


def keepalive(board: Board, command: Command) -> None:
    """M113: sets or reports the interval of busy messages."""
    seconds = command.number("S")
    if seconds is None:
        board.say(f"echo:M113 S{board.keepalive_s:.0f}")
    else:
        board.keepalive_s = max(0.0, min(MAX_KEEPALIVE_S, float(int(seconds))))


def dead_man(board: Board, command: Command) -> None:
    """M85: kill after S seconds without motion, 0 = never."""
    seconds = command.number("S")
    if seconds is not None:
        board.inactive_limit_s = max(0.0, seconds)


def message(board: Board, command: Command) -> None:
    """M118: says a text to the host; A1 puts `//` before it, E1 `echo:`."""
    text, prefix = command.rest, ""
    match = _M118_FLAG.match(text)
    while match:
        if match[2] == "1" and match[1] in "AE":
            prefix = "//" if match[1] == "A" else "echo:"
        text = text[match.end() :]
        match = _M118_FLAG.match(text)
    board.say(prefix + text.lstrip(" "))


def tool(board: Board, command: Command) -> None:
    """T: there is one extruder."""
    number = int(command.code[1:])
    if number >= EXTRUDERS:
        board.say(f"echo:T{number} Invalid extruder")
    else:
        board.tool = number


def restart(board: Board, _command: Command) -> None:
    """M999 on a board that was never stopped: asks for the next line again."""
    if board.dialect.report_style in (ReportStyle.MARLIN, ReportStyle.MARLIN_OLD, ReportStyle.PRUSA):
        board.say(board.dialect.resend_format.format(n=board.counter.last + 1))
        board.ok()


def endstops(board: Board, _command: Command) -> None:
    """M119."""
    board.say("Reporting endstop status")
    for i, axis in enumerate("xyz"):
        board.say(f"{axis}_min: {'TRIGGERED' if board.motion.position[i] <= 0.0 else 'open'}")


def beep(board: Board, command: Command) -> Wait:
    """M300: the tone blocks."""
    yield from until(
        board, board.now + min(10.0, max(0.0, command.value("P", 0.0) / 1000.0)) / board.config.speed
    )


def accept(_board: Board, _command: Command) -> None:
    """A command that changes nothing the model knows."""


_ACCEPTED_G = (10, 11, 17, 27)
# fmt: off
_ACCEPTED_M = (
    75, 76, 77, 78, 73, 117, 42, 80, 81, 111, 149, 150, 200, 206, 207, 208,
    209, 211, 217, 218, 250, 301, 304, 355, 402, 412, 420, 421, 425, 486, 500, 501,
    502, 555, 569, 572, 593, 851, 900, 906, 913, 914,
)
# fmt: on

HANDLERS: dict[str, Handler] = {
    **{f"G{n}": accept for n in _ACCEPTED_G},
    **{f"M{n}": accept for n in _ACCEPTED_M},
    "G4": dwell,
    "M0": pause_for_user,
    "M1": pause_for_user,
    "M600": change_filament,
    "M108": go_on,
    "M876": go_on,
    "M112": kill,
    "M110": set_number,
    "M115": identify,
    "M503": settings,
    "M113": keepalive,
    "M85": dead_man,
    "M118": message,
    "M119": endstops,
    "M300": beep,
    "M999": restart,
}
