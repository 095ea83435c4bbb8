"""Commands in: each is carried out at most once, in time, if the unit's owner allows it, and always answered.

A command is on disk before it is carried out and its answer afterwards; the same `cmd_id` again gets the answer
again. An emergency stop is the exception: it acts first and is written down then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from agent.coordinator.actions import Actions, Result
from agent.coordinator.answers import Answers
from agent.coordinator.command_args import parse_args
from agent.coordinator.command_memory import CommandMemory, digest_of, is_volatile
from agent.coordinator.command_pace import (
    BURST,
    MOST_WAIT_S,
    PER_S,
    command_pace,
    may_be_stop,
    refusal_pace,
)
from agent.coordinator.documents import (
    Answer,
    AnswerKind,
    AnswerStatus,
    Command,
    CommandName,
    Document,
    DocumentError,
    parse_answer,
)
from agent.coordinator.messages import Incoming
from agent.coordinator.timing import CoordinatorClock, Timeliness, Window, judge
from agent.domain.errors import FabunitError, RefusedError
from agent.storage.clock import Clock
from agent.storage.database import Database

# Homing or heating waits for the printer's answer; nothing else takes long.
RUN_TIMEOUT_S = 120.0
# What the pace lets through at once may wait behind a command that takes long, such as homing; more is refused.
MAX_WAITING = BURST
# A flood is told of in the log this often.
_TELL_EVERY_S = 60.0

_log = structlog.get_logger(__name__)
Reply = Callable[[Answer], None]


class CommandVerifier(Protocol):
    """Reads commands and checks signatures where there are some."""

    def command(self, payload: bytes, content_type: str | None = None) -> Command:
        """Return the command. Raises DocumentError, RefusedError."""
        ...


@dataclass(frozen=True, slots=True)
class _Order:
    command: Command
    args: Document
    window: Window
    reply: Reply


@dataclass(slots=True)
class _Pending:
    """A command between its arrival and the note of its answer."""

    digest: str
    answer: Answer


class Commands:
    """Takes commands; event loop only. `run` carries them out one after the other, `stop` ahead of all."""

    def __init__(
        self,
        actions: Actions,
        database: Database,
        *,
        clock: Clock,
        answers: Answers,
        verifier: CommandVerifier,
        allowed: frozenset[str],
        coordinator_clock: CoordinatorClock,
    ) -> None:
        self._actions = actions
        self._memory = CommandMemory(database)
        self._clock = clock
        self._answers = answers
        self._verifier = verifier
        self._allowed = allowed
        self._time = coordinator_clock
        self._waiting: asyncio.Queue[_Order] = asyncio.Queue()
        self._pending: dict[str, _Pending] = {}
        self._pace = command_pace()
        self._refusal_pace = refusal_pace()
        self._unanswered = 0
        self._told_s = float("-inf")

    async def take(self, message: Incoming, reply: Reply) -> None:
        """Take what came on `down/commands`; every answer goes to `reply`. Raises StorageError."""
        if self._is_flooded() and not may_be_stop(message.payload):
            self._unanswered += 1
            return
        try:
            command = self._verifier.command(message.payload, message.content_type)
        except DocumentError as error:
            self._refuse(reply, self._answers.malformed(AnswerKind.COMMAND, error))
            return
        except RefusedError as error:
            self._refuse(reply, self._answers.refused(AnswerKind.COMMAND, error))
            return
        try:
            args, window = self._admitted(command, message)
        except DocumentError as error:
            failed = self._failed(command, error)
            problems = self._answers.malformed(AnswerKind.COMMAND, error).problems
            self._refuse(reply, failed.model_copy(update={"problems": problems}))
            return
        except FabunitError as error:
            self._refuse(reply, self._failed(command, error))
            return
        if command.command == CommandName.STOP:
            await self._stop(command, args, reply)
            return
        wait_s = self._pace.wait_s(asyncio.get_running_loop().time())
        if wait_s is None:
            detail = (
                f"more than {PER_S:g} commands a second, and those of the last {MOST_WAIT_S:g} s still wait"
            )
            self._refuse(reply, self._busy(command, detail))
            return
        if wait_s:
            await asyncio.sleep(wait_s)
        await self._enqueue(_Order(command, args, window, reply))

    async def run(self) -> None:
        """Carry out commands until cancelled. Raises StorageError."""
        await self._memory.open()
        while True:
            order = await self._waiting.get()
            await self._carry_out(order)

    def _is_flooded(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._pace.is_full(now) and self._refusal_pace.is_full(now)

    def _refuse(self, reply: Reply, answer: Answer) -> None:
        """Answer a command that is not carried out, unless too many were refused a moment ago."""
        now = asyncio.get_running_loop().time()
        if self._refusal_pace.wait_s(now) is not None:
            reply(answer)
            return
        self._unanswered += 1
        if now - self._told_s >= _TELL_EVERY_S:
            self._told_s = now
            _log.warning("command_flood", unanswered=self._unanswered, code=answer.code)

    def _admitted(self, command: Command, message: Incoming) -> tuple[Document, Window]:
        """Return the checked arguments, and the command's time. Raises RefusedError if unknown, denied or late."""
        name = command.command
        if not self._actions.knows(name):
            raise RefusedError(f"there is no command {name!r}", code="unknown_command")
        if name not in self._allowed:
            raise RefusedError(
                f"this unit's owner does not allow {name!r} from a coordinator",
                code="denied",
                remedy="coordinator.allow in its configuration",
            )
        if message.retain:
            raise RefusedError("a retained command has no time and is never carried out", code="retained")
        stamp = self._clock.stamp()
        self._time.hear(command.sent, stamp)
        deadline_ms = None if message.expiry_s is None else stamp.mono_ms + message.expiry_s * 1000
        window = Window(None, command.expires, deadline_ms, stamp.boot)
        self._demand_time(command, window)
        return parse_args(name, command.args), window

    def _demand_time(self, command: Command, window: Window) -> None:
        """Raise RefusedError for a command that is late, or may be."""
        timeliness = judge(window, self._time.now(self._clock.stamp()))
        if timeliness is Timeliness.LATE:
            raise RefusedError(_told_late(window), code="expired")
        if timeliness is Timeliness.UNKNOWN and command.command != CommandName.STOP:
            raise RefusedError(
                "this unit's clock is not set: whether the command is still valid cannot be told",
                code="clock_unknown",
                remedy="send it with an MQTT message expiry, or with `sent`",
            )

    async def _enqueue(self, order: _Order) -> None:
        command = order.command
        digest = digest_of(command)
        pending = self._pending.get(command.cmd_id)
        if pending is not None:
            order.reply(pending.answer if pending.digest == digest else self._reused(command))
            return
        if len(self._pending) >= MAX_WAITING:
            detail = f"{MAX_WAITING} commands wait to be carried out"
            self._refuse(order.reply, self._busy(command, detail))
            return
        accepted = self._answer(command, AnswerStatus.ACCEPTED)
        # Before the first await: the same command may be delivered twice within one turn of the loop.
        self._pending[command.cmd_id] = _Pending(digest, accepted)
        is_new = self._memory.is_new(command.cmd_id)
        if is_new:
            # The disk is not waited for: until the note is there the broker keeps the command, and delivers it again.
            order.reply(accepted)
        try:
            known = await self._known(command, digest)
        except BaseException:
            del self._pending[command.cmd_id]
            raise
        if known is not None:
            del self._pending[command.cmd_id]
            order.reply(known)
            return
        if not is_new:
            order.reply(accepted)
        self._waiting.put_nowait(order)

    async def _known(self, command: Command, digest: str) -> Answer | None:
        """Return the answer to a command that came before; else note, durably, that it is carried out now."""
        if is_volatile(command):
            return self._memory.answer(command.cmd_id)
        before = await self._memory.begin(command.cmd_id, digest)
        if before is None:
            return None
        if before.digest != digest:
            return self._reused(command)
        if before.answer is not None:
            return parse_answer(before.answer.encode())
        detail = "the unit was restarted while it carried this out; its state shows what came of it"
        return self._failed(command, RefusedError(detail, code="interrupted"))

    async def _stop(self, command: Command, args: Document, reply: Reply) -> None:
        # Asking the database first would cost up to a second on a busy card: memory must do.
        before = self._memory.answer(command.cmd_id)
        if before is not None:
            reply(before)
            return
        answer = await self._result(command, args)
        reply(answer)
        self._memory.keep(command.cmd_id, answer)
        _log.warning("coordinator_stop", cmd_id=command.cmd_id, status=answer.status.value)
        await self._memory.begin(command.cmd_id, digest_of(command))
        await self._memory.finish(command.cmd_id, answer)

    async def _carry_out(self, order: _Order) -> None:
        command = order.command
        try:
            answer = await self._due_result(order)
            self._pending[command.cmd_id].answer = answer
            order.reply(answer)
            if not is_volatile(command):
                _log.info(
                    "coordinator_command",
                    command=command.command,
                    status=answer.status.value,
                    code=answer.code,
                )
            await self._remember(command, answer)
        finally:
            del self._pending[command.cmd_id]

    async def _due_result(self, order: _Order) -> Answer:
        """Carry a command out unless it became late while it waited."""
        try:
            self._demand_time(order.command, order.window)
        except RefusedError as error:
            return self._failed(order.command, error)
        return await self._result(order.command, order.args)

    async def _result(self, command: Command, args: Document) -> Answer:
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await self._actions.demand(command.if_state, command.if_job)
                result: Result = await self._actions.run(command.command, args)
        except FabunitError as error:
            return self._failed(command, error)
        except TimeoutError:
            detail = f"not done within {RUN_TIMEOUT_S:.0f} s"
            return self._failed(command, RefusedError(detail, code="timed_out"))
        return self._answer(command, AnswerStatus.DONE, data=result)

    async def _remember(self, command: Command, answer: Answer) -> None:
        if is_volatile(command):
            self._memory.keep(command.cmd_id, answer)
        else:
            await self._memory.finish(command.cmd_id, answer)

    def _busy(self, command: Command, detail: str) -> Answer:
        return self._failed(command, RefusedError(detail, code="busy", remedy="send it again in a second"))

    def _reused(self, command: Command) -> Answer:
        return self._failed(command, RefusedError("this cmd_id was another command", code="id_reused"))

    def _answer(self, command: Command, status: AnswerStatus, *, data: Result = None) -> Answer:
        return self._answers.answer(AnswerKind.COMMAND, status, cmd_id=command.cmd_id, data=data)

    def _failed(self, command: Command, error: FabunitError) -> Answer:
        return self._answers.answer(
            AnswerKind.COMMAND,
            AnswerStatus.FAILED,
            cmd_id=command.cmd_id,
            code=error.code,
            detail=error.told,
        )


def _told_late(window: Window) -> str:
    return "the command expired" + ("" if window.expires is None else f" at {window.expires} ms")
