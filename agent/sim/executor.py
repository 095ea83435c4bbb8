"""The command queue: lines out of the receiver, judged, queued, executed one after the other, acknowledged.

As in Marlin the slots are filled whenever there is room, also while a command blocks, and a command keeps its slot
until it is finished. A rejected line throws away what the receive ring holds.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from agent.sim import commands_heat, commands_host, commands_motion, commands_settings
from agent.sim.command import Command
from agent.sim.dialects import AfterHalt, Duplicate, Numbering, Rejection
from agent.sim.ledger import Entry
from agent.sim.lines import Accepted, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.sim.board import Board
    from agent.sim.receiver import Receiver
    from agent.sim.waiting import Handler, Wait

HANDLERS: dict[str, Handler] = {
    **commands_motion.HANDLERS,
    **commands_heat.HANDLERS,
    **commands_host.HANDLERS,
    **commands_settings.HANDLERS,
}
SHORTEST_WAIT_S = 1e-6  # a wait never ends at the instant it began: time goes on


class Executor:
    """Slots and the command being executed. `pump` does all that can be done now."""

    def __init__(
        self, board: Board, receiver: Receiver, refill: Callable[[], bool], *, strike_line: float
    ) -> None:
        self.executed: list[Entry] = []
        self.wake = inf  # when the blocking command wants to look again
        self.busy_at = inf
        self.struck = False  # the job line of a planned fault has been executed
        self.strike_line = strike_line
        self._board = board
        self._receiver = receiver
        self._refill = refill
        self._handlers = {code: handler for code, handler in HANDLERS.items() if board.knows(code)}
        self._queue: deque[Accepted] = deque()
        self._slots = max(1, board.config.slots)
        self._used: deque[bytes] = deque(maxlen=self._slots)  # the words `N7` the slots held, oldest first
        self._active: Wait | None = None
        self._active_moves = False  # the active command is a move: it does not hold the machine up
        self._held: tuple[Handler, Command, Accepted] | None = (
            None  # a move that waits for room in the planner
        )
        self._began = 0.0
        self._keeps = board.config.keep_executed
        self._advanced = board.config.advanced_ok

    @property
    def idle(self) -> bool:
        """Whether no command runs or waits."""
        return not self._queue

    @property
    def stalled(self) -> bool:
        """Whether all slots are taken, so that nobody reads the ring."""
        return len(self._queue) >= self._slots

    def drop(self) -> None:
        """Forget all commands (reset, kill)."""
        if self._active is not None:
            self._active = None
            self._board.note_blocking(self._began)
        self._held = None
        self._queue.clear()
        self._used.clear()
        self.wake = self.busy_at = inf
        self.struck = False

    def poke(self) -> None:
        """Something changed that a blocking command may be waiting for."""
        if self._active is not None or self._held is not None:
            self.wake = self._board.now

    def pump(self) -> None:
        """Fill the slots and execute until something blocks or nothing is left."""
        board = self._board
        while board.kill_reason is None:
            self._fill_slots()
            if self._active is not None or self._held is not None or not self._queue or self.struck:
                return
            if board.kill_reason is None:
                self._execute()

    def resume(self) -> None:
        """Ask the blocking command whether it is done."""
        if self._held is not None:
            self._resume_move(self._held)
            return
        if self._active is None:
            return
        try:
            wake = next(self._active)
        except StopIteration:
            self._active = None
            self.wake = self.busy_at = inf
            if not self._active_moves:
                self._board.note_blocking(self._began)
            self._finish()
            return
        now = self._board.now
        self.wake = wake if wake > now else now + SHORTEST_WAIT_S

    def _resume_move(self, held: tuple[Handler, Command, Accepted]) -> None:
        board = self._board
        if board.planner.full:
            self.wake = board.planner.next_event()
            return
        self._held = None
        self.wake = self.busy_at = inf
        handler, command, accepted = held
        self._record(accepted, board.last_text)
        handler(board, command)
        self._finish()

    def say_busy(self) -> None:
        """Sign of life of a blocking command."""
        board, dialect = self._board, self._board.dialect
        text = dialect.busy_paused if board.waiting_for_user else dialect.busy_processing
        if text is not None and board.keepalive_s:
            board.say(text)
            self.busy_at += board.keepalive_s
        else:
            self.busy_at = inf

    # --- receiving -----------------------------------------------------------------------------------------

    def _fill_slots(self) -> None:
        board, receiver, queue = self._board, self._receiver, self._queue
        while len(queue) < self._slots:
            line = receiver.next_line()
            if line is None:
                if not self._refill():
                    return
            elif line:
                board.statistics.received += 1
                self._judge(line)
            elif board.dialect.ok_for_empty:
                board.ok()
            if board.kill_reason is not None:
                return

    def _judge(self, line: bytes) -> None:
        board = self._board
        verdict = board.counter.check(line)
        if isinstance(verdict, Accepted):
            self._accept(verdict)
        elif isinstance(verdict, Fault):
            self._reject(verdict, line)
        else:
            board.statistics.duplicates += 1
            if board.dialect.duplicate is Duplicate.SKIP:
                board.say(f"skip {verdict.number}")
                board.say("ok")

    def _accept(self, accepted: Accepted) -> None:
        board, text = self._board, accepted.text
        self._queue.append(accepted)
        self._used.append(accepted.word)
        if board.dialect.ok_on_receipt:
            number = (
                "" if accepted.number is None or not board.dialect.ok_has_number else f" {accepted.number}"
            )
            board.say(f"ok{number}")
        if text[:1] == b"M" and text[1:2] in b"14":
            self._critical(accepted)

    def _critical(self, accepted: Accepted) -> None:
        """M108, M112 and M410 act when their line is read, where no emergency parser took them before."""
        board = self._board
        text, plain = accepted.text, accepted.number is None
        if (
            text.startswith(b"M112")
            and (plain or board.dialect.m112_on_receipt)
            and not board.emergency_parser
        ):
            board.emergency_stop()
        elif text.startswith(b"M108") and plain and not board.emergency_parser:
            board.release()
            self.poke()
        elif text.startswith(b"M410") and plain and not board.emergency_parser:
            board.quick_stop(commands_motion.CLEANING_S)
            self.poke()

    def _reject(self, fault: Fault, line: bytes) -> None:
        board, dialect = self._board, self._board.dialect
        statistics = board.statistics
        statistics.rejected += 1
        last = board.counter.last
        if dialect.rejection is Rejection.SILENT:
            board.event("dropped_line", reason=fault.value, last=last)
            return
        next_line = (last + 1) % 65536 if dialect.numbering is Numbering.MODULO else last + 1
        statistics.resends += 1
        board.event("resend", n=next_line, reason=fault.value)
        if dialect.rejection is Rejection.RESEND_OK:
            statistics.flushed_bytes += self._receiver.throw_away()
            if dialect.numbering is Numbering.MODULO:
                board.error(_repetier_error(fault, last, line))
                board.error("")
            else:
                board.error(f"Error:{fault.value}, Last Line: {last}")
        self._ask_again(next_line)
        if dialect.rejection is Rejection.RESEND_OK and board.config.resend_ok:
            self._say_ok(self._next_word(), advanced=dialect.resend_ok_is_advanced)

    def _next_word(self) -> bytes:
        """The word `N7` in the slot that is executed or comes next: where nothing waits, an old one."""
        if self._queue:
            return self._queue[0].word
        return self._used[0] if len(self._used) == self._slots else b""

    def _ask_again(self, number: int) -> None:
        text = self._board.dialect.resend_format.format(n=number)
        self._board.error(text.replace("Resend: ", "Resend:") if self._board.config.tight_resend else text)

    def roll_back(self) -> None:
        """Prusa MK3 after a crash: forget what is queued and planned, and ask for those lines again, unasked.

        The firmware counts every queued command and planned move as one line, whether or not it was numbered.
        """
        board = self._board
        board.counter.last = max(0, board.counter.last - board.planner.count - len(self._queue))
        board.quick_stop(0.0)
        self._receiver.throw_away()
        self.drop()
        board.statistics.resends += 1
        board.event("rollback", n=board.counter.last)
        self._ask_again(board.counter.last + 1)
        self._say_ok(b"", advanced=False)

    # --- executing -----------------------------------------------------------------------------------------

    def _execute(self) -> None:
        board = self._board
        accepted = self._queue[0]
        text = accepted.text.decode("utf-8", "surrogateescape")
        command = Command(text.upper() if board.dialect.case_insensitive else text)
        board.last_text = text
        if board.refusing and self._refuse(command):
            self._queue.popleft()
            return
        handler = self._handlers.get(command.code) or (
            commands_host.tool if command.code[:1] == "T" else None
        )
        moves = command.code in commands_motion.MOVES
        self._began = board.now
        if board.config.command_s:
            self._block(self._when_ready(handler, command, accepted, moves=moves), moves=moves)
            return
        if moves and handler is not None and board.planner.full:
            self._held = handler, command, accepted
            self.wake = board.planner.next_event()
            self.busy_at = board.now + board.keepalive_s if board.keepalive_s else inf
            return
        self._record(accepted, text)
        wait = self._run(handler, command)
        if board.kill_reason is not None:
            return
        if wait is None:
            self._finish()
        else:
            self._block(wait, moves=False)

    def _run(self, handler: Handler | None, command: Command) -> Wait | None:
        if handler is not None:
            return handler(self._board, command)
        text = self._board.dialect.unknown_format.format(cmd=command.text)
        if text:
            self._board.say(text)
        return None

    def _when_ready(
        self, handler: Handler | None, command: Command, accepted: Accepted, *, moves: bool
    ) -> Wait:
        board = self._board
        ready = board.now + board.config.command_s
        while board.now < ready:
            yield ready
        while moves and board.planner.full:
            yield board.planner.next_event()
        self._record(accepted, board.last_text)
        wait = self._run(handler, command)
        if wait is not None:
            yield from wait

    def _block(self, wait: Wait, *, moves: bool) -> None:
        board = self._board
        self._active = wait
        self._active_moves = moves
        self.busy_at = board.now + board.keepalive_s if board.keepalive_s else inf
        self.resume()

    def _record(self, accepted: Accepted, text: str) -> None:
        board, statistics = self._board, self._board.statistics
        is_job = accepted.number is not None and b"M110" not in accepted.text
        statistics.executed += 1
        entry = Entry(
            statistics.executed,
            board.now - board.powered_at,
            accepted.number,
            text,
            "job" if is_job else "host",
        )
        if self._keeps:
            self.executed.append(entry)
        board.ledger.command(entry)
        if accepted.number is not None and not is_job and board.dialect.m110_sets:
            board.number_set(accepted.number)
        if is_job:
            statistics.job_line(accepted.text)
            if statistics.job_lines >= self.strike_line:
                self.struck = True

    def _finish(self) -> None:
        board = self._board
        if board.kill_reason is not None:
            return
        if board.ok_done:
            board.ok_done = False
        elif not board.dialect.ok_on_receipt:
            self._say_ok(self._queue[0].word, advanced=True)
        self._queue.popleft()
        board.idle_since = board.now

    def _say_ok(self, word: bytes, *, advanced: bool) -> None:
        board = self._board
        if not (self._advanced and advanced):
            board.say("ok")
            return
        line = f" {word.decode('ascii', 'replace')}" if word else ""
        board.say(f"ok{line} P{board.planner.free} B{self._slots - len(self._queue)}")

    def _refuse(self, command: Command) -> bool:
        """A halted board that still answers. Returns False for the command that brings it back."""
        board = self._board
        gentle = board.dialect.after_halt is AfterHalt.REFUSE_OK
        if command.code == "M999" or (gentle and command.text == "FIRMWARE_RESTART"):
            board.refusing = False
            board.event("restarted")
            return False
        if gentle:
            board.say(board.dialect.kill_lines[0])
            board.say("ok")
        else:
            board.say("!!" if not board.dialect.ok_on_receipt else board.dialect.kill_lines[0])
        return True


def _repetier_error(fault: Fault, last: int, line: bytes) -> str:
    if fault is Fault.NUMBER:
        digits = line[1:].split(b" ", 1)[0].decode("ascii", "replace")
        return f"Error:expected line {last + 1} got {digits}"
    return "Error:Wrong checksum" if fault is Fault.CHECKSUM else "Error: Missing checksum"
