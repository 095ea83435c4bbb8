"""The board's state as commands see it: voice, machine, heaters, waits, reports, halt.

Command handlers act on a `Board` only. Instants are seconds on the caller's clock; `now` is the virtual instant of the
event being processed.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from agent.sim import reports, settings
from agent.sim.builds import CAPABILITIES, Feature, knows
from agent.sim.dialects import Dialect
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
LONGEST_EXTRUSION_MM = 200.0  # Marlin's EXTRUDE_MAXLENGTH


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
        self.features = _features(config, dialect)
        self.emergency_parser = Feature.EMERGENCY_PARSER in self.features
        self.start(0.0)

    def start(self, now: float) -> None:
        """Everything a reset forgets."""
        self.now = now
        self.counter = LineCounter(self.dialect)
        self.planner = Planner(self.config.planner, self.config.speed)
        self.motion = Motion(self.planner)
        self.tuning = settings.Tuning()
        self.print_timer = settings.PrintTimer()
        self.cleaning_until = now  # after a quick stop no move is taken before this
        self.hotend.set_target(0.0, now)
        self.bed.set_target(0.0, now)
        self.fan = 0
        self.tool = 0
        self.keepalive_s = KEEPALIVE_S
        self.inactive_limit_s = 0.0
        self.last_activity = now  # of the dead-man timer
        self.dead_man_held = False  # a wait for a person that holds it back
        self.idle_since = now  # last command or "wait"
        self.temperature_every_s = 0.0
        self.temperature_at = inf
        self.position_every_s = 0.0
        self.position_at = inf
        self.cold_extrusion_allowed = False
        self.extrude_min_c = COLD_C
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
        """Send a line that ends the way lines about line numbers do."""
        self.say(text, self.dialect.error_eol)

    def has(self, feature: Feature) -> bool:
        """Whether this board's firmware was built with a feature."""
        return feature in self.features

    def knows(self, code: str) -> bool:
        """Whether this board's firmware was built with a command, if its family has it at all."""
        return knows(self.features, code)

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

    def built(self, line: str) -> str | None:
        """A line of M115 as this board's build has it; None when it has no such line."""
        if line.startswith("Cap:"):
            name, _, value = line[4:].partition(":")
            feature = CAPABILITIES.get(name)
            return f"Cap:{name}:{value if feature is None else int(feature in self.features)}"
        if line.startswith("area:"):
            return line if Feature.GEOMETRY in self.features else None
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
        lines += [*dialect.banner, *self.loaded(), *settings.all_lines(self)]
        if Feature.HOST_PROMPTS in self.features:
            lines.append("//action:prompt_end")
        return lines

    def loaded(self) -> list[str]:
        """What Marlin says when it has loaded its settings, from an EEPROM or from the build itself."""
        version = self.dialect.eeprom_version
        if not version:
            return []
        if Feature.EEPROM not in self.features:
            return self.reverted()
        lines = [f"echo:{version} stored settings retrieved {settings.EEPROM_FACTS}"]
        if Feature.HOST_PROMPTS in self.features:
            lines.append("//action:notification Stored settings retrieved")
        return lines

    def reverted(self) -> list[str]:
        """What Marlin says when it has gone back to the settings of the build."""
        lines = ["echo:Hardcoded Default Settings Loaded"]
        if Feature.HOST_PROMPTS in self.features:
            lines.insert(0, "//action:notification Hardcoded Default Settings Loaded")
        return lines

    def temperatures(self) -> str:
        """The temperature report of this dialect."""
        return reports.temperatures(self.dialect.report_style, self.hotend, self.bed, self.now)

    def position(self, *, projected: bool | None = None) -> str:
        """A position line; `projected` as in `reports.position`, by default as the dialect's M114 does it."""
        if projected is None:
            projected = self.dialect.projects_position
        return reports.position(self.dialect.report_style, self.motion, self.now, projected=projected)

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
            self.motion.stopped_at(place)
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
        limit = self.extrude_min_c
        if hotend.fault is ThermalFault.NONE and hotend.target >= limit and hotend.holding(self.now):
            return False
        return hotend.reading(self.now) < limit

    def move_to(self, end: Position, *, slowed: bool = True) -> None:
        """Plan a straight move; the planner must have room."""
        motion = self.motion
        cold = end[3] != motion.position[3] and self._refuses_extrusion(end[3] - motion.position[3])
        resting = not self.planner.count
        if motion.line_to(end, self.now, cold=cold, slowed=slowed):
            self.last_activity = self.now
            current = self.statistics.current
            current.moves += 1
            if resting:
                self._end_of_rest()

    def _refuses_extrusion(self, length_mm: float) -> bool:
        """Says why the extruder's part of a move is left out, if it is."""
        if self.too_cold():
            self.say(self.dialect.cold_text)
            return True
        long_text = self.dialect.long_text
        if long_text is None or abs(length_mm * self.motion.flow_percent) <= LONGEST_EXTRUSION_MM * 100.0:
            return False
        self.say(long_text)
        return True

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
            self.say(line)
        if Feature.HOST_ACTIONS in self.features:
            self.say("//action:poweroff")
        self.hotend.set_target(0.0, self.now)
        self.bed.set_target(0.0, self.now)
        place = self.planner.stop(self.now)
        if place is not None:
            self.motion.stopped_at(place)
        self.kill_reason = cause
        self.statistics.kills += 1
        self.event("kill", cause=cause)


def _features(config: FirmwareConfig, dialect: Dialect) -> frozenset[Feature]:
    """The build's features, with those the configuration switches by themselves."""
    if config.emergency_parser is None:
        return dialect.features
    parser = frozenset({Feature.EMERGENCY_PARSER})
    return dialect.features | parser if config.emergency_parser else dialect.features - parser
