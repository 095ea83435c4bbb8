"""What the board does by the clock: reports, `wait`, the dead-man timer, thermal protection, planned faults."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from agent.sim import reports
from agent.sim.heaters import ThermalFault

if TYPE_CHECKING:
    from agent.sim.board import Board
    from agent.sim.heaters import Heater

WAIT_S = 1.0  # NO_TIMEOUTS 1000: "wait" once a second while idle


class Alarms:
    """Tells the next instant of interest and acts when it has come."""

    def __init__(self, board: Board) -> None:
        self._board = board
        config = board.config
        self._says_wait = config.no_timeouts or board.dialect.waits
        self._fault = config.thermal_fault
        self._fault_at: float | None = None if self._fault is not ThermalFault.NONE else inf
        self.replug_at = inf

    def next(self, *, idle: bool) -> float:
        """The next instant at which `ring` has something to do, or the cable comes back."""
        board = self._board
        instant = board.temperature_at
        instant = min(instant, board.position_at)
        instant = min(instant, self.replug_at)
        if self._says_wait and idle:
            instant = min(instant, board.idle_since + WAIT_S)
        if board.refusing:  # halted already: nothing more to protect
            return instant
        if board.inactive_limit_s and not board.dead_man_held:
            instant = min(instant, self._inactive_at())
        if self._fault_at != inf:
            instant = min(instant, self._breaks_at())
        if board.hotend.fault is not ThermalFault.NONE:  # only the hotend can be given a fault
            instant = min(instant, max(board.hotend.trip()[0], board.now))
        return instant

    def ring(self, *, idle: bool) -> bool:
        """Do what is due at the board's `now`. True when a waiting command should look again."""
        board = self._board
        now = board.now
        self._report(now)
        if self._says_wait and idle and board.idle_since + WAIT_S <= now:
            board.say("wait")
            board.idle_since = now
        if board.refusing:
            return False
        if board.inactive_limit_s and not board.dead_man_held and self._inactive_at() <= now:
            board.error(
                f"Error:!! KILL caused by too much inactive time - current command: {board.last_text}"
            )
            board.kill(cause="inactive")
            return True
        poke = self._fault_at != inf and self._breaks_at() <= now
        if poke:
            board.hotend.inject(self._fault, now)
            board.event("thermal_fault", fault=self._fault.value)
            self._fault_at = inf
        return self._protect(board.hotend, now) or poke

    def _report(self, now: float) -> None:
        board = self._board
        if board.temperature_at <= now:
            if not board.waiting_for_heat:  # M109 and M190 print lines of their own
                board.say(reports.auto_report(board.dialect.report_style, board.temperatures()))
            board.temperature_at += board.temperature_every_s
        if board.position_at <= now:
            board.say(board.position())
            board.position_at += board.position_every_s

    def _inactive_at(self) -> float:
        board = self._board
        if board.planner.count:
            return max(board.planner.next_event(), board.now + board.inactive_limit_s)
        return max(board.last_activity, board.planner.empty_since) + board.inactive_limit_s

    def _breaks_at(self) -> float:
        """When the configured thermal fault strikes: infinity until the hotend is heated for the first time."""
        board = self._board
        if self._fault_at is None:
            if not board.hotend.target:
                return inf
            after = board.config.thermal_fault_after_s
            if after is None:
                return max(board.hotend.reached_at(), board.now)
            self._fault_at = board.now + after / board.config.speed
        return self._fault_at

    def _protect(self, heater: Heater, now: float) -> bool:
        if heater.fault is ThermalFault.NONE or self._board.kill_reason is not None:
            return False
        instant, reason = heater.trip()
        if instant > now:
            return False
        board, dialect = self._board, self._board.dialect
        label = dialect.hotend_label if heater is board.hotend else heater.spec.label
        board.kill(dialect.thermal_format.format(reason=reason, heater=label), cause=f"thermal: {reason}")
        return True
