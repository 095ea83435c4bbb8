"""Reception: each message on `down/#` to the one who takes it, its answer back, and its PUBACK when it is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from agent.coordinator.answers import Answers
from agent.coordinator.commands import Commands
from agent.coordinator.documents import (
    Answer,
    AnswerKind,
    AnswerStatus,
    DocumentError,
    Want,
    packed,
    parse_ack,
    parse_want,
)
from agent.coordinator.inbox import Inbox
from agent.coordinator.link import Link
from agent.coordinator.messages import Incoming, Message
from agent.coordinator.records import EVENTS_STREAM, TELEMETRY_STREAM
from agent.coordinator.shelf import Shelf
from agent.coordinator.timekeeper import TimeKeeper
from agent.coordinator.timing import CoordinatorClock
from agent.coordinator.topics import Topics
from agent.domain.errors import StorageError, UsageError
from agent.storage.clock import Clock

# An answer nobody fetched within the hour is of no use: the state it tells of is in the records.
ANSWER_EXPIRY_S = 3600
# What is missing is asked for again: the push that healed it may get lost as well.
ASK_AGAIN_S = 300.0
TIMES_EVERY_S = 5.0
# Orders wait for the disk one behind the other; more than the broker may send at once never wait.
MAX_WAITING = 100

_log = structlog.get_logger(__name__)
Done = Callable[[bool], None]


class LinkReception:
    """Takes messages; event loop only."""

    def __init__(
        self,
        topics: Topics,
        link: Link,
        *,
        inbox: Inbox,
        commands: Commands,
        times: TimeKeeper,
        shelf: Shelf,
        answers: Answers,
        clock: Clock,
        coordinator_clock: CoordinatorClock,
    ) -> None:
        self._topics = topics
        self._link = link
        self._inbox = inbox
        self._commands = commands
        self._times = times
        self._shelf = shelf
        self._answers = answers
        self._clock = clock
        self._time = coordinator_clock
        self._orders: asyncio.Queue[tuple[Incoming, Done]] = asyncio.Queue(MAX_WAITING)
        self._tasks: asyncio.TaskGroup | None = None
        self._want: Want | None = None
        self._asked_s = 0.0
        self._timed_s = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._commands.run(), name="link commands")
                tasks.create_task(self._take_orders(), name="link orders")
        finally:
            self._tasks = None

    def deliver(self, message: Incoming, done: Done) -> None:
        """Hand a message on; see `agent.coordinator.link.Reception`."""
        topics = self._topics
        if message.topic == topics.commands:
            self._spawn(self._command(message, done))
        elif message.topic == topics.ack:
            self._ack(message)
            done(True)  # noqa: FBT003 - an acknowledgement that is lost is repeated by the coordinator
        elif message.topic in (topics.jobs, topics.want):
            if self._orders.full():
                done(False)  # noqa: FBT003
            else:
                self._orders.put_nowait((message, done))
        else:
            done(True)  # noqa: FBT003 - a topic this version does not know

    async def tick(self) -> None:
        """Keep the times of orders, and ask again for what is missing."""
        now = asyncio.get_running_loop().time()
        if now - self._timed_s >= TIMES_EVERY_S:
            self._timed_s = now
            await self._times.keep()
        if self._want is not None and now - self._asked_s >= ASK_AGAIN_S:
            await self._ask(self._want, is_first=False)

    async def _take_orders(self) -> None:
        while True:
            message, done = await self._orders.get()
            try:
                if message.topic == self._topics.want:
                    await self._take_want(message)
                else:
                    self._send(await self._inbox.job(message), message)
            except StorageError as error:
                _log.error("order_not_stored", detail=error.message, code=error.code)
                done(False)  # noqa: FBT003
            else:
                done(True)  # noqa: FBT003

    async def _take_want(self, message: Incoming) -> None:
        try:
            self._want = parse_want(message.payload, message.content_type)
        except DocumentError:
            self._send(await self._inbox.want(message), message)
            return
        await self._ask(self._want, is_first=True)

    async def _ask(self, want: Want, *, is_first: bool) -> None:
        self._asked_s = asyncio.get_running_loop().time()
        answer = await self._inbox.missing(want)
        if answer.status is AnswerStatus.MISSING or is_first:
            self._send(answer)
        if answer.status is not AnswerStatus.MISSING:
            self._want = None

    async def _command(self, message: Incoming, done: Done) -> None:
        try:
            await self._commands.take(message, lambda answer: self._send(answer, message))
        except StorageError as error:
            _log.error("command_not_stored", detail=error.message, code=error.code)
            done(False)  # noqa: FBT003
        else:
            done(True)  # noqa: FBT003

    def _ack(self, message: Incoming) -> None:
        try:
            ack = parse_ack(message.payload, message.content_type)
        except DocumentError as error:
            self._send(self._answers.malformed(AnswerKind.ACK, error), message)
            return
        self._time.hear(ack.sent, self._clock.stamp())
        if ack.epoch != self._shelf.epoch:
            self._spawn(self._ack_blocks(ack.epoch, ack.upto))
            return
        try:
            self._shelf.acknowledge_events(ack.upto, self._link.newest_event())
        except UsageError as error:
            refusal = self._answers.answer(
                AnswerKind.ACK, AnswerStatus.FAILED, code=error.code, detail=error.message
            )
            self._send(refusal, message)
            return
        self._link.acknowledged(EVENTS_STREAM, ack.upto)

    async def _ack_blocks(self, epoch: str, upto: int) -> None:
        self._link.acknowledged(TELEMETRY_STREAM, await self._shelf.acknowledge_blocks(epoch, upto))

    def _send(self, answer: Answer, message: Incoming | None = None) -> None:
        """Send an answer on `up/results`, and on the response topic where that is one of ours."""
        payload, content_type = packed(answer.to_json())
        topics = [self._topics.results]
        if (
            message is not None
            and message.response_topic
            and self._topics.may_answer_on(message.response_topic)
        ):
            topics.append(message.response_topic)
        for topic in topics:
            self._link.answer(
                Message(
                    topic,
                    payload,
                    expiry_s=ANSWER_EXPIRY_S,
                    content_type=content_type,
                    correlation=message.correlation if message else None,
                )
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None:
            work.close()
            return
        self._tasks.create_task(work)
