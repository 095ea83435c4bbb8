"""The first restarts are fast; a daemon that never gets anywhere waits longer and longer, and never gives up."""

from __future__ import annotations

import socket
from pathlib import Path

from agent.ops.restarts import CALM_S, FREE, MOST_S, RECORD, Restarts
from agent.ops.systemd import Notifier


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lives(folder: Path, clock: Clock, count: int, length_s: float) -> list[float]:
    """Start `count` times, each life as long as that; returns the pauses before each."""
    pauses = []
    for _ in range(count):
        pauses.append(Restarts(folder, clock).begin())
        clock.now += pauses[-1] + length_s
    return pauses


def test_kills_in_a_row_cost_nothing_at_first(tmp_path: Path) -> None:
    assert lives(tmp_path, Clock(), FREE, 1.0) == [0.0] * FREE


def test_pauses_grow_to_a_bound_and_there_is_no_last_attempt(tmp_path: Path) -> None:
    pauses = lives(tmp_path, Clock(), 40, 0.3)[FREE:]
    assert pauses[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, MOST_S]
    assert set(pauses[7:]) == {MOST_S}


def test_a_long_life_or_an_orderly_end_forgives(tmp_path: Path) -> None:
    clock = Clock()
    lives(tmp_path, clock, 10, 0.3)
    clock.now += CALM_S
    assert lives(tmp_path, clock, FREE, 0.3) == [0.0] * FREE
    lives(tmp_path, clock, 10, 0.3)
    Restarts(tmp_path, clock).end()
    assert lives(tmp_path, clock, 1, 0.3) == [0.0]


def test_a_record_that_is_none_counts_as_none(tmp_path: Path) -> None:
    for content in (b"", b"[1", b"{}", b'["x", 1]', b"[9, 99999]", b"\xff"):
        (tmp_path / RECORD).write_bytes(content)
        assert Restarts(tmp_path, Clock()).begin() == 0.0
    assert Restarts(tmp_path / "missing", Clock()).begin() == 0.0


def test_the_service_manager_is_told_of_a_pause(tmp_path: Path) -> None:
    clock = Clock()
    lives(tmp_path, clock, FREE + 2, 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        slept: list[float] = []
        Restarts(tmp_path, clock).pause(Notifier(str(tmp_path / "notify")), slept.append)
        said = manager.recv(4096) + manager.recv(4096)
    assert slept == [4.0]
    assert b"STATUS=ended early several times; trying again in 4 s" in said
    assert b"EXTEND_TIMEOUT_USEC=64000000" in said
