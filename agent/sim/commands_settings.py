"""Commands that set a value or, without one, report it: M92, M200-M206, M211, M220, M221, M301, M500-M503 and more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.sim import settings
from agent.sim.builds import Feature
from agent.sim.motion import AXES, BED_MM, Limits
from agent.sim.settings import EEPROM_FACTS, SettingsStyle
from agent.sim.waiting import Handler

if TYPE_CHECKING:
    from agent.sim.board import Board
    from agent.sim.command import Command

_DEBUG_NAMES = ("ECHO", "INFO", "ERRORS", "DRYRUN", "COMMUNICATION")
_OLD_MARLIN = (SettingsStyle.MARLIN_20, SettingsStyle.MARLIN_11, SettingsStyle.PRUSA)


def _tell(board: Board, code: str) -> None:
    """Report a setting the way its command does in Marlin 2.1; other families keep silent."""
    if board.dialect.settings_style is SettingsStyle.MARLIN_21:
        for line in settings.lines_of(board, code):
            board.say(line)


def limits(board: Board, command: Command) -> None:
    """M92, M201, M203: per axis; without an axis Marlin 2.1 reports, Marlin 2.0 only M92."""
    if not any(command.has(letter) for letter in AXES):
        if command.code == "M92" and board.dialect.settings_style is SettingsStyle.MARLIN_20:
            board.say("echo:" + settings.lines_of(board, "M92")[0])
        _tell(board, command.code)
        return
    values = board.motion.limits
    table = {"M92": values.steps_per_mm, "M201": values.max_acceleration, "M203": values.max_speed}[
        command.code
    ]
    for i, letter in enumerate(AXES):
        value = command.number(letter)
        if value:
            table[i] = max(abs(value), 0.01)


def accelerations(board: Board, command: Command) -> None:
    """M204."""
    values = board.motion.limits
    if not any(command.has(letter) for letter in "PRST"):
        if board.dialect.settings_style in _OLD_MARLIN:
            board.say(
                f"Acceleration: P{values.print_acceleration:.2f} R{values.retract_acceleration:.2f} "
                f"T{values.travel_acceleration:.2f}"
            )
        _tell(board, "M204")
        return
    both = command.number("S")
    values.print_acceleration = max(1.0, command.value("P", both or values.print_acceleration))
    values.travel_acceleration = max(1.0, command.value("T", both or values.travel_acceleration))
    values.retract_acceleration = max(1.0, command.value("R", values.retract_acceleration))


def advanced(board: Board, command: Command) -> None:
    """M205."""
    values = board.motion.limits
    if not any(command.has(letter) for letter in "BSTJXYZEQ"):
        _tell(board, "M205")
        return
    values.min_segment_s = max(0.0, command.value("B", values.min_segment_s * 1e6)) / 1e6
    junction = command.number("J")
    if junction is None:
        return
    if 0.01 <= junction <= 0.3:
        values.junction_deviation = junction
    elif board.dialect.settings_style is not SettingsStyle.NONE:
        board.say("Error:?J out of range (0.01 to 0.3)")


def home_offset(board: Board, command: Command) -> None:
    """M206: Marlin 2.1 answers a change with the position."""
    given = [(i, command.number(letter)) for i, letter in enumerate("XYZ") if command.has(letter)]
    if not given:
        _tell(board, "M206")
        return
    for i, value in given:
        board.tuning.home_offset[i] = value or 0.0
    if board.dialect.settings_style is SettingsStyle.MARLIN_21:
        board.say(board.position(projected=False))


def soft_endstops(board: Board, command: Command) -> None:
    """M211: Marlin 2.1 reports when nothing is set, older ones always."""
    motion, style = board.motion, board.dialect.settings_style
    if command.has("S"):
        motion.soft_endstops = bool(command.value("S", 1.0))
        if style is SettingsStyle.MARLIN_21:
            return
    shift = motion.shift
    low = " ".join(f"{AXES[i]}{shift[i]:.2f}" for i in range(3))
    high = " ".join(f"{AXES[i]}{shift[i] + BED_MM[i]:.2f}" for i in range(3))
    if style is SettingsStyle.MARLIN_21:
        board.say(f"  M211 S{int(motion.soft_endstops)} ; {'ON' if motion.soft_endstops else 'OFF'}")
        board.say(f"  Min:  {low}   Max:  {high}")
    elif style is SettingsStyle.MARLIN_20:
        state = "ON" if motion.soft_endstops else "OFF"
        board.say(f"echo:Soft endstops: {state}  Min:  {low}   Max:  {high}")
    elif style is SettingsStyle.MARLIN_11:
        state = "On" if motion.soft_endstops else "Off"
        board.say(f"echo:Soft endstops: {state}  Min: {low}  Max: {high}")


def feed_percent(board: Board, command: Command) -> None:
    """M220: S sets, B backs up, R restores."""
    motion = board.motion
    if not command.parameters:
        if board.dialect.settings_style in (SettingsStyle.MARLIN_21, SettingsStyle.MARLIN_20):
            board.say(f"FR:{motion.feed_percent:.0f}%")
        return
    now = motion.feed_percent
    if command.has("R"):
        motion.feed_percent = motion.backup_percent
    if command.has("B"):
        motion.backup_percent = now
    if command.has("S"):
        motion.feed_percent = min(999.0, max(1.0, command.value("S", 100.0)))


def flow_percent(board: Board, command: Command) -> None:
    """M221."""
    motion = board.motion
    if command.has("S"):
        motion.flow_percent = min(999.0, max(1.0, command.value("S", 100.0)))
    elif board.dialect.settings_style not in (SettingsStyle.NONE, SettingsStyle.PRUSA):
        board.say(f"echo:E0 Flow: {motion.flow_percent:.0f}%")


def pid(board: Board, command: Command) -> None:
    """M301, M304: Marlin 2.1 reports when nothing is set, older ones always."""
    values = board.tuning.hotend_pid if command.code == "M301" else board.tuning.bed_pid
    for i, letter in enumerate("PID"):
        values[i] = command.value(letter, values[i])
    if board.dialect.settings_style in _OLD_MARLIN:
        board.say(f"echo: p:{values[0]:.2f} i:{values[1]:.2f} d:{values[2]:.2f}")
    elif not command.parameters:
        _tell(board, command.code)


def one_line(board: Board, command: Command) -> None:
    """M145, M200, M851: kept by nobody, reported when nothing is set."""
    if not command.parameters:
        _tell(board, command.code)


def linear_advance(board: Board, command: Command) -> None:
    """M900."""
    if not command.parameters and board.dialect.settings_style is SettingsStyle.MARLIN_21:
        board.say("echo:Advance K=0.00")


def leveling(board: Board, _command: Command) -> None:
    """M420: there is no mesh, so it stays off."""
    if board.dialect.settings_style is SettingsStyle.MARLIN_21:
        board.say("echo:Bed Leveling OFF")
        board.say("echo:Fade Height OFF")


def report_all(board: Board, command: Command) -> None:
    """M503; S0 leaves the comments out."""
    for line in settings.all_lines(board, comments=bool(command.value("S", 1.0))):
        board.say(line)


def store(board: Board, _command: Command) -> None:
    """M500."""
    if not board.dialect.eeprom_version:
        return
    if not board.has(Feature.EEPROM):
        board.say(board.dialect.eeprom_refusal)
        return
    board.say(f"echo:Settings Stored {EEPROM_FACTS}")


def load(board: Board, _command: Command) -> None:
    """M501: what was stored, or without an EEPROM the settings of the build; then all of them are listed."""
    _revert(board)
    for line in (*board.loaded(), *(settings.all_lines(board) if board.dialect.eeprom_version else ())):
        board.say(line)


def revert(board: Board, _command: Command) -> None:
    """M502."""
    _revert(board)
    for line in board.reverted() if board.dialect.eeprom_version else ():
        board.say(line)


def _revert(board: Board) -> None:
    board.motion.limits = Limits()
    board.tuning = settings.Tuning()


def debugging(board: Board, command: Command) -> None:
    """M111: Marlin keeps the flags and says which are set; none has an effect here."""
    board.tuning.debug_flags = int(command.value("S", board.tuning.debug_flags)) & 0xFF
    if board.dialect.settings_style not in (SettingsStyle.NONE, SettingsStyle.PRUSA):
        names = [name for i, name in enumerate(_DEBUG_NAMES) if board.tuning.debug_flags >> i & 1]
        board.say(f"echo:DEBUG:{','.join(names) or 'off'}")


def print_timer(board: Board, command: Command) -> None:
    """M75, M76, M77: start, hold, stop the print timer."""
    timer = board.print_timer
    {"M75": timer.start, "M76": timer.pause, "M77": timer.stop}[command.code](board.now)


def print_time(board: Board, _command: Command) -> None:
    """M31, in time of the model."""
    text = settings.duration(board.print_timer.elapsed_s(board.now) * board.config.speed)
    board.say(f"echo:Print time: {text}")


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("M92", "M201", "M203"), limits),
    "M204": accelerations,
    "M205": advanced,
    "M206": home_offset,
    "M211": soft_endstops,
    "M220": feed_percent,
    "M221": flow_percent,
    "M301": pid,
    "M304": pid,
    **dict.fromkeys(("M145", "M200", "M851"), one_line),
    "M900": linear_advance,
    "M420": leveling,
    "M111": debugging,
    "M500": store,
    "M501": load,
    "M502": revert,
    "M503": report_all,
    **dict.fromkeys(("M75", "M76", "M77"), print_timer),
    "M31": print_time,
}
