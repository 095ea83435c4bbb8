"""The smallest coordinator: subscribes, keeps records by number, acknowledges what is complete."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

from agent.coordinator.broker_address import parse_address
from agent.coordinator.client import BrokerClient, Credentials
from agent.coordinator.documents import json_object, parse_batch
from agent.coordinator.messages import Incoming, Message
from agent.coordinator.network import Connected, NetworkEvent, Published, Received, Subscribed
from agent.coordinator.topics import Topics
from tests.unit.coordinator.bench import UNIT, until

TOPICS = Topics(UNIT)


class Desk:
    """One connection of a coordinator; `is_acking` decides whether it acknowledges records."""

    def __init__(self, url: str, name: str = "desk") -> None:
        self.is_acking = True
        self.seen: Counter[int] = Counter()
        self.telemetry: list[int] = []
        self.answers: list[dict[str, Any]] = []
        self.retained: dict[str, bytes] = {}
        self.codes: list[int] = []
        self.is_subscribed = False
        self.contiguous = 0
        self._loop = asyncio.get_running_loop()
        will = Message("desk/gone", b"")
        self.client = BrokerClient(1, parse_address(url), Credentials(name), will, self._post)
        self.client.start()

    def _post(self, event: NetworkEvent) -> None:
        with contextlib.suppress(RuntimeError):  # the test is over
            self._loop.call_soon_threadsafe(self._on, event)

    def _on(self, event: NetworkEvent) -> None:
        match event:
            case Connected():
                self.client.subscribe("fabunit/v1/+/up/#")
                self.client.subscribe("fabunit/v1/+/state/#")
            case Subscribed():
                self.is_subscribed = True
            case Published(_, _, code):
                self.codes.append(code)
            case Received(_, message):
                self._take(message)
                self.client.acknowledge(message.ack)

    def _take(self, message: Incoming) -> None:
        if message.topic == TOPICS.events:
            self._records(message)
        elif message.topic == TOPICS.results:
            self.answers.append(json_object("answer", message.payload, message.content_type))
        elif message.topic != TOPICS.live:
            self.retained[message.topic] = message.payload

    def _records(self, message: Incoming) -> None:
        batch = parse_batch(message.payload, message.content_type)
        records = [record for record in batch.records if record.type != "telemetry"]
        self.telemetry += [record.seq for record in batch.records if record.type == "telemetry"]
        self.seen.update(record.seq for record in records)
        if batch.first is not None and records:
            self.contiguous = max(self.contiguous, batch.first - 1)
        while self.contiguous + 1 in self.seen:
            self.contiguous += 1
        if self.is_acking and records:
            self.send(TOPICS.ack, {"epoch": records[0].epoch, "upto": self.contiguous})

    def send(self, topic: str, content: dict[str, Any] | bytes, *, retain: bool = False) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.client.publish(len(self.codes) + 1, Message(topic, payload, retain=retain))

    async def ready(self) -> Desk:
        await until(lambda: self.is_subscribed, "the desk is not subscribed")
        return self

    def close(self) -> None:
        self.client.drop()
        self.client.join(5.0)
