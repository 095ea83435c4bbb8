"""The board's state as commands see it: voice, machine, heaters, waits, reports, halt.

Command handlers act on a `Board` only. Instants are seconds on the caller's clock; `now` is the virtual instant of the
event being processed.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from agent.sim import reports
from agent.sim.dialects import Dialect, ReportStyle
from agent.sim.faults import FaultyLine, LineFaults
from agent.sim.heaters import BED, HOTEND, Heater, ThermalFault
from agent.sim.lines import LineCounter
from agent.sim.motion import Motion
from agent.sim.planner import Planner
from agent.sim.statistics import Statistics
from agent.sim.wire import TransmitWire

if TYPE_CHECKING:
    from agent.sim.config import FirmwareConfig
    from agent.sim.ledger import Ledger
    from agent.sim.lookahead import Position

KEEPALIVE_S = 2.0  # M113 default
COLD_C = 170.0  # Marlin's EXTRUDE_MINTEMP


class Board:
    """One powered board. `start` puts it into the state after a reset; heat and statistics outlive resets."""

    def __init__(self, config: FirmwareConfig, dialect: Dialect, ledger: Ledger) -> None:
        self.config = config
        self.dialect = dialect
        self.ledger = ledger
        self.statistics = Statistics()
        self.now = 0.0
        self.powered_at = 0.0
        self.transmit = TransmitWire(config.baud, config.latency_s)
        self.line = FaultyLine(
            LineFaults(
                flip_in=config.flip_in,
                drop_bytes_in=config.drop_bytes,
                flip_out=config.flip_out,
                drop_bytes_out=config.drop_bytes_out,
                drop_ok=config.drop_ok,
                double_ok=config.double_ok,
            ),
            config.seed,
        )
        self.hotend = Heater(HOTEND, config.speed)
        self.bed = Heater(BED, config.speed)
        built = config.emergency_parser
        self.emergency_parser = dialect.emergency_parser if built is None else built
        self.start(0.0)

    def start(self, now: float) -> None:
        """Everything a reset forgets."""
        self.now = now
        self.counter = LineCounter(self.dialect)
        self.planner = Planner(self.config.planner, self.config.speed)
        self.motion = Motion(self.planner)
        self.cleaning_until = now  # after a quick stop no move is taken before this
        self.hotend.set_target(0.0, now)
        self.bed.set_target(0.0, now)
        self.fan = 0
        self.tool = 0
        self.keepalive_s = KEEPALIVE_S
        self.inactive_limit_s = 0.0
        self.last_activity = now  # of the dead-man timer
        self.idle_since = now  # last command or "wait"
        self.temperature_every_s = 0.0
        self.temperature_at = inf
        self.position_every_s = 0.0
        self.position_at = inf
        self.cold_extrusion_allowed = False
        self.waiting_for_heat = False
        self.waiting_for_user = False
        self.last_text = ""
        self.ok_done = False  # the command has already sent its ok
        self.kill_reason: str | None = None
        self.refusing = False  # halted, but answering (Smoothie, Repetier, Klipper)
        self.standing_s = 0.0  # at rest under blocking commands since the planner last ran dry

    # --- voice ---------------------------------------------------------------------------------------------

    def say(self, text: str, eol: str = "\n") -> None:
        """Send one line to the host."""
        data = (text + eol).encode("utf-8", "surrogateescape")
        if not self.line.quiet_out:
            data = self.line.outbound(data)
        self.transmit.put(data, self.now)

    def error(self, text: str) -> None:
        """Send a line that ends the way error lines do."""
        self.say(text, self.dialect.error_eol)

    def ok(self, suffix: str = "") -> None:
        """Send a plain ok, or one that carries data; nothing where the ok went out on receipt."""
        if not self.dialect.ok_on_receipt:
            self.say(f"ok{suffix}")

    def prompt(self, text: str) -> None:
        """Ask the host to show a dialogue with one button."""
        self.say("//action:prompt_end")
        self.say(f"//action:prompt_begin {text}")
        self.say("//action:prompt_button Continue")
        self.say("//action:prompt_show")

    def built(self, line: str) -> str:
        """A line of M115 with the capabilities this board was built with."""
        if line.startswith("Cap:EMERGENCY_PARSER:"):
            return f"Cap:EMERGENCY_PARSER:{int(self.emergency_parser)}"
        if line.startswith("FIRMWARE_NAME") and self.config.speed != 1.0:
            return f"{line} MODEL_SPEED:{self.config.speed:g}"  # so that a host's heat rules keep the model's time
        return line

    def greeting(self, cause: str) -> list[str]:
        """What the board says when it starts. `cause`: "PowerUp" or "reset"."""
        dialect = self.dialect
        if not dialect.says_start:
            return list(dialect.banner)
        lines = ["start"]
        if dialect.reset_line is not None:
            lines.append(cause if cause == "PowerUp" else dialect.reset_line)
        lines += [*dialect.banner, *self.settings()]
        if dialect.host_prompts:
            lines.append("//action:prompt_end")
        return lines

    def temperatures(self) -> str:
        """The temperature report of this dialect."""
        return reports.temperatures(self.dialect.report_style, self.hotend, self.bed, self.now)

    def settings(self) -> list[str]:
        """The lines of M503."""
        style = self.dialect.report_style
        if style is ReportStyle.MARLIN:
            return reports.settings(self.motion, comments=True)
        if style in (ReportStyle.MARLIN_OLD, ReportStyle.PRUSA):
            return reports.settings(self.motion, comments=False)
        return []

    def event(self, name: str, **details: object) -> None:
        """Write an event into the ledger."""
        self.ledger.event(name, self.now - self.powered_at, **details)

    # --- machine -------------------------------------------------------------------------------------------

    def schedule_reports(self) -> None:
        """M155 or M154 set an interval: the next report comes one interval from now."""
        self.temperature_at = self.now + self.temperature_every_s if self.temperature_every_s else inf
        self.position_at = self.now + self.position_every_s if self.position_every_s else inf

    def release(self) -> None:
        """End a wait for heat or for the person."""
        self.waiting_for_heat = self.waiting_for_user = False

    def quick_stop(self, cleaning_s: float) -> None:
        """Drop all motion at once."""
        place = self.planner.stop(self.now)
        if place is not None:
            self.motion.set_position(place)
        self.cleaning_until = self.now + cleaning_s / self.config.speed

    def set_heat(self, heater: Heater, target_c: float) -> None:
        """Command a temperature, with the configured thermal fault taking effect when its time comes."""
        heater.set_target(target_c, self.now)
        self.event("heater", id=heater.spec.name, target=heater.target)

    def too_cold(self) -> bool:
        """Whether the firmware refuses to extrude."""
        hotend = self.hotend
        if self.cold_extrusion_allowed:
            return False
        if hotend.fault is ThermalFault.NONE and hotend.target >= COLD_C and hotend.holding(self.now):
            return False
        return hotend.reading(self.now) < COLD_C

    def move_to(self, end: Position, *, slowed: bool = True) -> None:
        """Plan a straight move; the planner must have room."""
        motion = self.motion
        cold = end[3] != motion.position[3] and self.too_cold()
        if cold:
            self.say(self.dialect.cold_text)
        resting = not self.planner.count
        if motion.line_to(end, self.now, cold=cold, slowed=slowed):
            self.last_activity = self.now
            current = self.statistics.current
            current.moves += 1
            if resting:
                self._end_of_rest()

    def _end_of_rest(self) -> None:
        """A move came while the planner was empty: tell starvation from waiting for a command."""
        current, planner = self.statistics.current, self.planner
        if planner.moving_since is not None:
            starved = self.now - planner.empty_since - self.standing_s
            current.standing_s += self.standing_s
            if starved > 1e-6:
                current.starved += 1
                current.starved_s += starved
        self.standing_s = 0.0

    def note_blocking(self, since: float) -> None:
        """A command that is no move ran from `since` until now."""
        if not self.planner.count:
            self.standing_s += max(0.0, self.now - max(since, self.planner.empty_since))

    def number_set(self, base: int) -> None:
        """A line that sets the line number was executed: a new print may begin. Closes the record of the one before."""
        self.measure()
        self.statistics.close_print(base)
        self.planner.begin_record()
        self.standing_s = 0.0

    def measure(self) -> None:
        """Bring the record of the current print up to date."""
        current, planner = self.statistics.current, self.planner
        current.ideal_s = planner.ideal.total_s() / self.config.speed
        if planner.moving_since is not None:
            end = self.now if planner.count else planner.empty_since
            current.actual_s = max(0.0, end - planner.moving_since)

    # --- halt ----------------------------------------------------------------------------------------------

    def emergency_stop(self) -> None:
        """What M112 does, wherever it was taken from the line."""
        self.kill(*self.dialect.m112_echo, cause="M112")

    def kill(self, *lines: str, cause: str) -> None:
        """Heaters off, motors off, the dialect's last words; the board is dead until a reset."""
        for line in (*lines, *self.dialect.kill_lines):
            self.error(line)
        self.hotend.set_target(0.0, self.now)
        self.bed.set_target(0.0, self.now)
        place = self.planner.stop(self.now)
        if place is not None:
            self.motion.set_position(place)
        self.kill_reason = cause
        self.statistics.kills += 1
        self.event("kill", cause=cause)
