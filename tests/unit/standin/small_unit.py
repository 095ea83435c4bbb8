"""A unit as small as the protocol allows: an outbox that only the coordinator's acknowledgements empty."""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.coordinator.topics import Topics
from tests.unit.standin.said import EPOCH, UNIT, answer, batch, presence, record

BATCH = 7
RESEND_S = 0.2
TURN_S = 0.01


class SmallUnit:
    """Runs in its own thread; `report` appends a record, `acked` is what the coordinator has."""

    def __init__(self, port: int, unit: str = UNIT) -> None:
        self.topics = Topics(unit)
        self.unit = unit
        self.acked = 0
        self.jobs: list[dict[str, Any]] = []
        self.wants: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self._outbox: dict[int, dict[str, Any]] = {}
        self._newest = 0
        self._connects = 0
        self._sent_s = 0.0
        self._cursor = 0
        self._events: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=unit, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = lambda *_: self._events.put(("", b""))
        self._client.on_message = lambda _c, _d, said: self._events.put((said.topic, bytes(said.payload)))
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect_async("127.0.0.1", port, 10, clean_start=False, properties=properties)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def report(self, **content: Any) -> int:
        """Append one record; returns its number."""
        with self._lock:
            self._newest += 1
            self._outbox[self._newest] = record(self._newest, **content)
            return self._newest

    def close(self) -> None:
        self._ending.set()
        self._thread.join(5)
        self._client.disconnect()
        self._client.loop_stop()
        self._client.disconnect()  # closes a connection that came about in the meantime

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                topic, payload = self._events.get(timeout=TURN_S)
            except queue.Empty:
                self._pump()
                continue
            self._take(topic, payload)

    def _take(self, topic: str, payload: bytes) -> None:
        if not topic:
            self._connects += 1
            self._client.subscribe(self.topics.down, qos=1)
            self._say(self.topics.presence, presence(connect=self._connects, unit=self.unit), retain=True)
            self._cursor = self.acked
        elif topic == self.topics.ack:
            self._acknowledge(json.loads(payload))
        elif topic == self.topics.want:
            self._want(json.loads(payload))
        elif topic == self.topics.jobs:
            self._job(json.loads(payload))
        elif topic == self.topics.commands:
            command = json.loads(payload)
            self.commands.append(command)
            self._say(self.topics.results, answer("command", "done", self.unit, cmd_id=command["cmd_id"]))

    def _acknowledge(self, ack: dict[str, Any]) -> None:
        if ack["epoch"] != EPOCH:
            return
        with self._lock:
            self.acked = max(self.acked, ack["upto"])
            self._outbox = {seq: one for seq, one in self._outbox.items() if seq > self.acked}

    def _want(self, want: dict[str, Any]) -> None:
        self.wants.append(want)
        known = {job["job_id"] for job in self.jobs}
        missing = [job for job in want["jobs"] if job["job_id"] not in known]
        if missing:
            self._say(self.topics.results, answer("want", "missing", self.unit, jobs=missing))

    def _job(self, job: dict[str, Any]) -> None:
        if job["job_id"] not in {known["job_id"] for known in self.jobs}:
            self.jobs.append(job)
            for state in ("received", "completed"):
                self.report(type="job", job=job["job_id"], rev=job["rev"], state=state)

    def _pump(self) -> None:
        """Send what is behind the cursor; begin again behind the last acknowledgement when that is late."""
        if not self._client.is_connected():
            return
        with self._lock:
            if time.monotonic() - self._sent_s > RESEND_S:
                self._cursor = self.acked
            waiting = [one for seq, one in sorted(self._outbox.items()) if seq > self._cursor][:BATCH]
            first = min(self._outbox, default=self._newest + 1)
        if waiting:
            self._cursor = waiting[-1]["seq"]
            self._sent_s = time.monotonic()
            self._say(self.topics.events, batch(*waiting, first=first, unit=self.unit))

    def _say(self, topic: str, document: dict[str, Any], *, retain: bool = False) -> None:
        self._client.publish(topic, json.dumps(document), 1, retain)
