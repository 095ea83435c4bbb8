"""Commands between host and firmware: identity, numbering, messages, pauses, keep-alive, stops."""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING

from agent.sim.builds import Feature
from agent.sim.commands_heat import EXTRUDERS
from agent.sim.dialects import ReportStyle
from agent.sim.settings import SettingsStyle
from agent.sim.waiting import Handler, Wait, for_model_time, until, until_still

if TYPE_CHECKING:
    from agent.sim.board import Board
    from agent.sim.command import Command

_M118_FLAG = re.compile(r"(?:[AE]1|P\d) *")
MAX_FLAGS = 3  # of M118
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
    if text and not board.has(Feature.DISPLAY):
        board.say(f"echo:{text}", board.dialect.message_eol)
    if board.has(Feature.HOST_PROMPTS):
        board.prompt(text or f"{command.code} Stop")
    yield from _until_user(board, board.now + limit if limit > 0.0 else inf)


def change_filament(board: Board, _command: Command) -> Wait:
    """M600: parks, then waits for the person."""
    yield from until_still(board)
    yield from for_model_time(board, 4.0)
    if board.has(Feature.HOST_PROMPTS):
        board.prompt("Nozzle Parked")
    board.dead_man_held = board.dialect.holds_dead_man
    yield from _until_user(board, inf)
    board.dead_man_held = False
    board.last_activity = board.now
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
    lines = [line for line in map(board.built, board.dialect.m115) if line is not None]
    if board.dialect.report_style is ReportStyle.KLIPPER:
        board.ok(f" {lines[0]}")
        board.ok_done = True
        return
    for line in lines:
        if line.startswith("Cap:"):
            board.error(line)  # Marlin 2.0 ends these the way it ends its errors
        else:
            board.say(line)


def keepalive(board: Board, command: Command) -> None:
    """M113: sets or reports the interval of busy messages."""
    seconds = command.number("S")
    if seconds is None:
        board.say(f"echo:M113 S{board.keepalive_s:.0f}")
    else:
        board.keepalive_s = max(0.0, min(MAX_KEEPALIVE_S, float(int(seconds))))


def dead_man(board: Board, command: Command) -> None:
    """M85: kill after S seconds without motion, counted from now; 0 = never. Marlin 2.1 tells when asked without S."""
    if command.has("S"):
        board.inactive_limit_s = max(0.0, command.value("S", 0.0)) / board.config.dead_man_speed
        board.last_activity = board.now
    elif board.dialect.settings_style is SettingsStyle.MARLIN_21:
        board.say(f"Inactivity timeout {board.inactive_limit_s * board.config.dead_man_speed:.0f} s.")


def message(board: Board, command: Command) -> None:
    """M118: says a text to the host; A1 marks an action command, E1 puts `echo:` before it."""
    text, flags = command.rest, set()
    for _ in range(MAX_FLAGS):
        match = _M118_FLAG.match(text)
        if match is None:
            break
        flags.add(match[0][0])
        text = text[match.end() :]
    echo = "echo:" if "E" in flags else ""
    action = board.dialect.action_prefix if "A" in flags else ""
    board.say(echo + action + text, board.dialect.message_eol)


def tool(board: Board, command: Command) -> None:
    """T: there is one extruder. Marlin 2.1 built for one takes any tool for it, older ones name the wrong one."""
    number = int(command.code[1:])
    if number < EXTRUDERS:
        board.tool = number
    elif board.dialect.names_extruders:
        board.say(f"echo:T{number} Invalid extruder")


def restart(board: Board, command: Command) -> None:
    """M999 on a board that was never stopped: asks for the next line again, unless S1."""
    if command.has("S") and command.value("S", 1.0):
        return
    if board.dialect.report_style in (ReportStyle.MARLIN, ReportStyle.MARLIN_OLD, ReportStyle.PRUSA):
        board.say(board.dialect.resend_format.format(n=board.counter.last + 1))
        board.ok()


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
    78, 73, 117, 42, 80, 81, 120, 121, 149, 150, 207, 208, 209, 217, 218, 250, 355, 402, 412, 421, 425, 486, 555, 569,
    572, 593, 906, 913, 914,
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
    "M113": keepalive,
    "M85": dead_man,
    "M118": message,
    "M300": beep,
    "M999": restart,
}
