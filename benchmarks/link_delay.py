"""How long a command takes while the printer is fed as fast as it goes, and what the link costs the printer's line.

Prints on the board in C: without a coordinator, with an idle link, and with a coordinator that asks all the time (a
lease for live samples, commands one after the other), in turn and several times, because a virtual machine's host
takes time away unasked. By hand: `python -m benchmarks.link_delay`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.coordinator.paho_socket import set_nodelay
from agent.coordinator.signatures import signed
from agent.coordinator.standin import pushing
from agent.coordinator.topics import Topics
from benchmarks.bench_unit import moves_file
from benchmarks.board import FastBoard, Figures, moves_crc
from benchmarks.disturbance import JITTER_MOVE_MS, wait_for_first_move
from benchmarks.hosts import CAREFUL
from benchmarks.link_world import UNIT, LinkWorld, now_ms
from benchmarks.throughput import board_for

NICENESS = -5 if os.geteuid() == 0 else 0
"""Of the unit, as its systemd unit sets it. Broker and coordinator are elsewhere in life; here they share its cores."""
PAUSE_S = 0.1
"""Between two commands: ten a second are more than a person or a scheduler gives."""
STORM_PAUSE_S = 0.001
ANSWER_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Asking:
    """A command that is given again and again."""

    command: str
    args: dict[str, Any]
    pause_s: float = PAUSE_S
    is_patient: bool = True
    """Each waits for the answer to the one before."""


VOLATILE = Asking("watch", {"seconds": 600})
DURABLE = Asking("configure", {"batch": 200})
"""Kept on disk with its answer."""
STORM = Asking("watch", {"seconds": 600}, STORM_PAUSE_S)
FLOOD = Asking("watch", {"seconds": 600}, 0.01, is_patient=False)
"""A hundred a second, whether they are answered or not."""


@dataclass
class Trips:
    """Milliseconds from sending a command to its first and to its last answer."""

    first_ms: list[float] = field(default_factory=list)
    last_ms: list[float] = field(default_factory=list)
    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


class Asker:
    """A coordinator in a hurry, straight at the broker; `ask` returns when the last answer is there."""

    def __init__(self, world: LinkWorld) -> None:
        self._topics = Topics(UNIT)
        self._kid, self._key = pushing.key_id(world.ledger), pushing.signing_key(world.ledger)
        self._answers: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
        self._number = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_socket_open = set_nodelay
        self._client.connect("127.0.0.1", world.broker.port)
        self._client.subscribe(self._topics.results, qos=1)
        self._client.loop_start()

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, asking: Asking) -> str:
        """Give one command and return its id."""
        self._number += 1
        cmd_id = f"bench-{now_ms()}-{self._number}"
        told = {
            "v": 1,
            "cmd_id": cmd_id,
            "command": asking.command,
            "args": asking.args,
            "unit": UNIT,
            "expires": now_ms() + 20_000,
        }
        payload = signed(json.dumps(told).encode(), self._kid, self._key).to_json()
        self._client.publish(self._topics.commands, payload, qos=1)
        return cmd_id

    def heard(self, trips: Trips) -> None:
        """Note what has been answered so far, of commands nobody waits for."""
        with contextlib.suppress(queue.Empty):
            while True:
                _, answer = self._answers.get_nowait()
                if answer["status"] != "accepted":
                    trips.outcomes[answer.get("code") or answer["status"]] += 1

    def ask(self, asking: Asking, trips: Trips) -> None:
        """Give one command and note when its answers came. Raises queue.Empty when none comes."""
        began_s = time.monotonic()
        cmd_id = self.send(asking)
        is_first = True
        while True:
            at_s, answer = self._answers.get(timeout=ANSWER_LIMIT_S)
            if answer.get("cmd_id") != cmd_id:
                continue
            if is_first:
                trips.first_ms.append((at_s - began_s) * 1000)
                is_first = False
            if answer["status"] != "accepted":
                trips.last_ms.append((at_s - began_s) * 1000)
                return

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        self._answers.put((time.monotonic(), json.loads(message.payload)))


def run(
    folder: Path, moves: int, move_ms: float, asking: Asking | None, *, is_linked: bool
) -> tuple[Figures, Trips]:
    """Print once; `asking` is the command that is given again and again meanwhile."""
    part = moves_file(folder, moves)
    count, crc = moves_crc(part)
    options = board_for(CAREFUL) | {"move_ms": move_ms, "realtime": True}
    trips = Trips()
    extra = 'allow = ["configure"]\n' if is_linked else ""
    with (
        FastBoard(**options) as board,
        LinkWorld(folder, port=board.port, extra=extra, is_linked=is_linked, niceness=NICENESS) as world,
    ):
        if is_linked:
            world.until(world.is_drained, "the link is up")
        assert world.daemon is not None
        board.expect(count, watch=world.daemon.pid)
        with part.open("rb") as file:
            world.client.upload("/v1/jobs", file, part.stat().st_size, name=part.name)
        wait_for_first_move(board)
        over = threading.Event()
        worker = threading.Thread(target=_ask_on, args=(world, asking, trips, over))
        if asking is not None:
            worker.start()
        figures = board.done()
        over.set()
        if asking is not None:
            worker.join()
    if figures.crc != crc:
        raise RuntimeError(f"the file's moves were not delivered exactly: {figures}")
    return figures, trips


def _ask_on(world: LinkWorld, asking: Asking, trips: Trips, over: threading.Event) -> None:
    asker = Asker(world)
    asker.ask(VOLATILE, Trips())
    while not over.wait(asking.pause_s):
        trips.sent += 1
        if asking.is_patient:
            asker.ask(asking, trips)
        else:
            asker.send(asking)
    asker.heard(trips)
    asker.close()


@dataclass(frozen=True, slots=True)
class Row:
    """A thing to measure: `asking` is what is asked of the unit meanwhile."""

    name: str
    asking: Asking | None
    is_linked: bool = True


ROWS = {
    "bare": Row("no coordinator", None, is_linked=False),
    "idle": Row("link, nobody asks", None),
    "calm": Row("watched, 10 commands a second", VOLATILE),
    "kept": Row("watched, 10 commands a second that are kept on disk", DURABLE),
    "storm": Row("watched, commands without pause", STORM),
    "flood": Row("watched, 100 commands a second", FLOOD),
}


@dataclass
class Results:
    """What the rounds of one row gave; `more_ms` is the p99 beyond that of the bare row of the same round."""

    p99_ms: list[float] = field(default_factory=list)
    more_ms: list[float] = field(default_factory=list)
    starved: int = 0
    trips: Trips = field(default_factory=Trips)


def _stolen_ticks() -> tuple[int, int]:
    """Return ticks that the host took from this machine, and ticks in all."""
    values = [int(word) for word in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    return values[7], sum(values)


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _told(values: list[float]) -> str:
    return (
        f"p50 {statistics.median(values):.1f} ms, p99 {_percentile(values, 0.99):.1f} ms, "
        f"at most {max(values):.1f} ms ({len(values)})"
    )


def measure(row: Row, moves: int, move_ms: float, results: Results) -> float:
    """Print once, note what it gave, tell it, and return the p99 from an ok to the next line in milliseconds."""
    stolen, ticks = _stolen_ticks()
    with tempfile.TemporaryDirectory(prefix="fu-delay-") as scratch:
        figures, trips = run(Path(scratch), moves, move_ms, row.asking, is_linked=row.is_linked)
    stolen_after, ticks_after = _stolen_ticks()
    results.p99_ms.append(figures.gap_ms["p99"])
    results.starved += figures.starved
    results.trips.first_ms += trips.first_ms
    results.trips.last_ms += trips.last_ms
    results.trips.sent += trips.sent
    results.trips.outcomes += trips.outcomes
    gaps = ", ".join(f"{at} {value:.2f}" for at, value in figures.gap_ms.items())
    share = 100 * (stolen_after - stolen) / max(1, ticks_after - ticks)
    print(f"  {row.name}: {gaps}; the host took {share:.1f} % of the time", flush=True)
    return figures.gap_ms["p99"]


def tell(row: Row, results: Results) -> None:
    """Print what the rounds gave together."""
    more = f", {statistics.median(results.more_ms):+.2f} to without" if results.more_ms else ""
    print(
        f"{row.name}: p99 {statistics.median(results.p99_ms):.2f}{more}; planner dry {results.starved} times"
    )
    trips = results.trips
    if trips.outcomes:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(trips.outcomes.items()))
        print(f"  {trips.sent} sent, {told}, the others unanswered")
    if trips.first_ms:
        print(f"  first answer {_told(trips.first_ms)}\n  last answer  {_told(trips.last_ms)}")


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=3000)
    parser.add_argument("--move-ms", type=float, default=JITTER_MOVE_MS)
    parser.add_argument("--rounds", type=int, default=4, help="each measures every row once")
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    args = parser.parse_args()
    print(f"the unit's niceness: {NICENESS}")
    results = {name: Results() for name in args.rows}
    for number in range(args.rounds):
        print(f"round {number + 1}, from an ok to the next line, ms:", flush=True)
        p99_ms = {name: measure(ROWS[name], args.moves, args.move_ms, results[name]) for name in args.rows}
        if "bare" in p99_ms:
            bare_ms = p99_ms.pop("bare")
            for name, value in p99_ms.items():
                results[name].more_ms.append(value - bare_ms)
    print("median of the rounds, from an ok to the next line, ms:")
    for name in args.rows:
        tell(ROWS[name], results[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
