"""The firmware: bytes in, bytes out, driven by a clock from outside.

`Firmware` knows no clock and no thread. The caller hands over bytes with the instant at which the host wrote them,
collects what has left the wire by now, and calls `advance` no later than `deadline`. Everything happens at its exact
virtual instant, however late the caller is. Instants are seconds on any monotonic clock, never going back.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING

from agent.sim.alarms import Alarms
from agent.sim.board import Board
from agent.sim.builds import Feature
from agent.sim.commands_motion import CLEANING_S
from agent.sim.config import FirmwareConfig
from agent.sim.dialects import AfterHalt, dialect_named
from agent.sim.emergency import EmergencyScanner
from agent.sim.executor import Executor
from agent.sim.ledger import Entry, Ledger
from agent.sim.receiver import Receiver
from agent.sim.wire import ReceiveWire

if TYPE_CHECKING:
    from agent.sim.heaters import ThermalFault

REBOOT_S = 0.5  # a Prusa MK3 restarts by its watchdog this long after a kill

__all__ = ["Firmware", "FirmwareConfig", "Power"]


class Power(StrEnum):
    """What the processor is doing."""

    OFF = "off"
    BOOTING = "booting"
    RUNNING = "running"
    KILLED = "killed"  # halted by itself, until a reset
    DEAD = "dead"  # the MCU hangs; the USB chip may live on


class Firmware:
    """One printer's firmware on one board, from its serial port inwards."""

    def __init__(self, config: FirmwareConfig | None = None, ledger: Ledger | None = None) -> None:
        self.config = config or FirmwareConfig()
        self.dialect = dialect_named(self.config.dialect, self.config.build)
        self.ledger = ledger or Ledger()
        self.board = Board(self.config, self.dialect, self.ledger)
        self.statistics = self.board.statistics
        self.power = Power.OFF
        self.cable = True  # plugged in
        self.host_open = True  # a host has the port open
        self._wire = ReceiveWire(self.config.baud)
        self._receiver = Receiver(self.config.ring_bytes, self.dialect.max_line_bytes)
        self._scanner = EmergencyScanner()
        self._alarms = Alarms(self.board)
        self._strikes = _planned_strikes(self.config)
        self._executor = Executor(
            self.board,
            self._receiver,
            self._refill,
            strike_line=self._strikes[0][0] if self._strikes else inf,
        )
        self._alarm_at = inf
        self._boot_at = inf
        self._boot_cause = ""
        self._stop_written: float | None = None
        self._stop_arrived: float | None = None

    @property
    def executed(self) -> list[Entry]:
        """All commands executed so far, in order (empty when the configuration does not keep them)."""
        return self._executor.executed

    # --- the host's side -----------------------------------------------------------------------------------

    def boot(self, now: float) -> None:
        """Switch the board on."""
        self.board.now = self.board.powered_at = now
        self._restart(now, "PowerUp")

    def receive(self, data: bytes, now: float) -> None:
        """The host wrote `data` at `now`."""
        self.advance(now)
        if not self.cable or not data:
            return
        data = self.board.line.inbound(data)
        if b"\r" in data:
            data = data.replace(b"\r", b"\n")
        if b"M112" in data and self._stop_written is None:
            self._stop_written = now
        if self.config.baud:
            self._wire.put(data, now)
        elif self.power is Power.RUNNING:
            self._scan(self._receiver.offer(data))
            self._pump()
        if self.power is Power.KILLED and self.dialect.after_halt is AfterHalt.RESET and b"M999" in data:
            self.reset(now, "M999")

    def transmit(self, now: float) -> bytes:
        """What has reached the host by `now` since the last call; lost when the host has the port closed."""
        self.advance(now)
        data = self.board.transmit.take(now)
        return data if self.host_open and self.cable else b""

    def advance(self, now: float) -> None:
        """Let everything happen that is due by `now`."""
        while True:
            instant = self._next()
            if instant > now:
                break
            self._step(max(instant, self.board.now))
        if now > self.board.now:
            self.board.now = now
            self.board.planner.advance(now)
        if self.power is not Power.RUNNING:
            self._wire.due(now)  # nobody listens

    def deadline(self) -> float | None:
        """The next instant at which something happens by itself; None when nothing will."""
        instant = self._next()
        leaving = self.board.transmit.next_end()
        if leaving is not None:
            instant = min(instant, max(leaving, self.board.now))
        return None if instant == inf else instant

    def backlog_bytes(self) -> int:
        """Bytes the host wrote that the board has not taken in: what a port with back-pressure would hold up."""
        return self._wire.backlog_bytes(self.board.now) + self._receiver.held_bytes

    @property
    def is_at_rest(self) -> bool:
        """Whether everything that was received has been executed."""
        return self._executor.idle and not self.backlog_bytes() and not self._receiver.waiting_bytes

    def summary(self, now: float) -> dict[str, object]:
        """Counters, prints and stops so far."""
        self.advance(now)
        self.board.measure()
        line = self.board.line
        return {
            "dialect": self.dialect.name,
            "speed": self.config.speed,
            "power": self.power.value,
            "last_line": self.board.counter.last,
            **self.statistics.as_dict(),
            "line_faults_in": line.strikes_in,
            "line_faults_out": line.strikes_out,
            "oks_dropped": line.dropped_oks,
            "oks_doubled": line.doubled_oks,
        }

    # --- what people and accidents do ----------------------------------------------------------------------

    def open_port(self, now: float) -> None:
        """A host opens the port. What was said before is gone."""
        self.advance(now)
        self.board.transmit.take(now)
        self.host_open = True
        self.board.event("port_open")
        if self.config.reset_on_open and self.power is not Power.OFF:
            self.reset(now, "dtr")

    def close_port(self, now: float) -> None:
        """The host closes the port; the board keeps running."""
        self.advance(now)
        self.host_open = False
        self.board.event("port_close")

    def reset(self, now: float, cause: str = "external") -> None:
        """Reset the board; also revives a killed or dead one. Heat stays where it is, targets go to 0."""
        self.advance(now)
        self.statistics.resets += 1
        self.board.event("reset", cause=cause)
        self._restart(now, "reset")

    def die(self, now: float) -> None:
        """The MCU hangs: bytes are swallowed, nothing is ever said again, heaters stay as they are."""
        self.advance(now)
        self._die()

    def unplug(self, now: float) -> None:
        """Pull the cable; the board keeps its power. It comes back by itself when the configuration says so."""
        self.advance(now)
        self._unplug()

    def replug(self, now: float) -> None:
        """Put the cable back; the host still has to open the port."""
        self.advance(now)
        self._replug()

    def press_button(self, now: float) -> None:
        """Press the button on the panel."""
        self.advance(now)
        self.board.event("button")
        self.board.release()
        self._executor.poke()
        self.advance(now)

    def break_heater(self, fault: ThermalFault, now: float) -> None:
        """Give the hotend a fault, or mend it."""
        self.advance(now)
        self.board.hotend.inject(fault, now)
        self.board.event("thermal_fault", fault=fault.value)
        self._executor.poke()

    def crash(self, now: float) -> None:
        """The tool head hit something: a Prusa MK3 asks for the unfinished lines again, others notice nothing."""
        self.advance(now)
        self.board.event("crash")
        if self.dialect.rolls_back and self.power is Power.RUNNING:
            self._executor.roll_back()
            self._pump()

    # --- time ----------------------------------------------------------------------------------------------

    def _next(self) -> float:
        if self.power is not Power.RUNNING:
            return min(self._boot_at, self._alarms.replug_at)
        executor = self._executor
        self._alarm_at = instant = self._alarms.next(idle=executor.idle)
        instant = min(instant, executor.wake)
        instant = min(instant, executor.busy_at)
        line_end = self._wire.next_line_end()
        return instant if line_end is None or line_end > instant else line_end

    def _step(self, now: float) -> None:
        board, executor = self.board, self._executor
        board.now = now
        board.planner.advance(now)
        if self._alarms.replug_at <= now:
            self._replug()
        if self._boot_at <= now:
            if board.kill_reason is not None:  # the watchdog of a board that restarts after a kill
                self.statistics.resets += 1
                self._restart(now, "watchdog")
            else:
                self._finish_boot()
        if self.power is not Power.RUNNING:
            return
        if self.config.baud:
            self._take_arrivals(now)
        if executor.busy_at <= now and board.kill_reason is None:
            executor.say_busy()
        if self._alarm_at <= now and board.kill_reason is None and self._alarms.ring(idle=executor.idle):
            executor.poke()
        if executor.wake <= now and board.kill_reason is None:
            executor.resume()
        self._pump()

    # --- receiving -----------------------------------------------------------------------------------------

    def _take_arrivals(self, now: float) -> None:
        data = self._wire.due(now)
        if not data:
            return
        lost = self._receiver.arrive(data, stalled=self._executor.stalled)
        if lost:
            self.statistics.lost_bytes += lost
            self.board.event("overflow", bytes=lost)
        self._scan(data)

    def _refill(self) -> bool:
        """The ring of a port with back-pressure has room again. Returns whether bytes came."""
        taken = self._receiver.offer(b"")
        self._scan(taken)
        return bool(taken)

    def _scan(self, data: bytes) -> None:
        """Look for emergency commands in bytes as they arrive, whether or not there is room for them."""
        board = self.board
        for word in self._scanner.feed(data):
            if word.code == 112 and self._stop_arrived is None:
                self._stop_arrived = board.now
            if (
                not board.emergency_parser
                or self.config.deaf_parser
                or board.kill_reason is not None
                or board.refusing
            ):
                continue
            if word.code == 112:
                board.emergency_stop()
            elif word.code == 410:
                board.quick_stop(CLEANING_S)
            elif word.code == 108:
                board.release()
            elif board.has(Feature.HOST_PROMPTS):
                board.waiting_for_user = False
            self._executor.poke()

    def _pump(self) -> None:
        self._executor.pump()
        if self._executor.struck:
            self._strike()
        elif self.board.kill_reason is not None:
            self._halt()

    # --- power ---------------------------------------------------------------------------------------------

    def _restart(self, now: float, cause: str) -> None:
        board = self.board
        board.measure()
        self.statistics.close_print(0)
        self._executor.drop()
        self._receiver.clear()
        self._scanner.reset()
        board.transmit.clear()
        board.start(now)
        self._stop_written = self._stop_arrived = None
        self.power = Power.BOOTING
        self._boot_cause = cause
        self._boot_at = now + self.config.boot_s
        if not self.config.boot_s:
            self._finish_boot()

    def _finish_boot(self) -> None:
        board = self.board
        self._boot_at = inf
        self._wire.due(board.now)
        self.power = Power.RUNNING
        board.idle_since = board.last_activity = board.now
        board.hotend.restart_sensor(board.now)
        board.bed.restart_sensor(board.now)
        board.event("boot", cause=self._boot_cause)
        for line in board.greeting(self._boot_cause):
            board.say(line)

    def _halt(self) -> None:
        """The firmware has killed itself."""
        board = self.board
        cause = board.kill_reason or ""
        if cause == "M112":
            arrived = board.now if self._stop_arrived is None else self._stop_arrived
            written = arrived if self._stop_written is None else self._stop_written
            stop = {"delay_s": round(board.now - arrived, 6), "wire_s": round(max(0.0, arrived - written), 6)}
            self.statistics.stops.append({"t": round(board.now - board.powered_at, 6), **stop})
            board.event("stop", **stop)
        self._stop_written = self._stop_arrived = None
        self._executor.drop()
        self._receiver.clear()
        if self.dialect.after_halt in (AfterHalt.REFUSE, AfterHalt.REFUSE_OK):
            board.kill_reason = None
            board.refusing = True
            return
        self.power = Power.KILLED
        if self.dialect.after_halt is AfterHalt.REBOOT:
            self._boot_at = board.now + REBOOT_S
            self.power = Power.BOOTING

    def _die(self) -> None:
        self._executor.drop()
        self._receiver.clear()
        self.board.transmit.clear()
        self.power = Power.DEAD
        self._boot_at = inf
        self.board.event("dead")

    def _unplug(self) -> None:
        self.cable = self.host_open = False
        self._wire.clear()
        self._receiver.drop_held()
        self.board.transmit.clear()
        self.board.event("unplug")
        if self.config.replug_after_s is not None:
            self._alarms.replug_at = self.board.now + self.config.replug_after_s

    def _replug(self) -> None:
        self.cable = True
        self._alarms.replug_at = inf
        self.board.event("replug")

    def _strike(self) -> None:
        """A planned fault: the job line it waits for has been executed."""
        executor = self._executor
        executor.struck = False
        kind = self._strikes.pop(0)[1]
        executor.strike_line = self._strikes[0][0] if self._strikes else inf
        if kind == "unplug":
            self._unplug()
            self._pump()
        elif kind == "reset":
            self.reset(self.board.now, "planned")
        else:
            self._die()


def _planned_strikes(config: FirmwareConfig) -> list[tuple[int, str]]:
    planned = (
        (config.unplug_after_lines, "unplug"),
        (config.reset_after_lines, "reset"),
        (config.dead_after_lines, "dead"),
    )
    return sorted((lines, kind) for lines, kind in planned if lines is not None)
