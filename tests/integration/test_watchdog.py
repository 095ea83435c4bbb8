"""A hang of any part that a print depends on ends the beats of the real daemon; nothing else does."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rig import spiral
from tests.integration.test_descriptor_store import ManagedRig
from tests.integration.thread_freezer import frozen, threads

WATCHDOG_S = 6.0
"""A beat at least every 2 s: the printer thread of an idle unit goes round once a second."""
BEAT = "WATCHDOG=1"


class WatchedRig(ManagedRig):
    """A unit under a watchdog."""

    def start_daemon(self, *, wait: bool = True) -> None:
        os.environ["WATCHDOG_USEC"] = str(int(WATCHDOG_S * 1_000_000))
        try:
            super().start_daemon(wait=wait)
        finally:
            del os.environ["WATCHDOG_USEC"]

    def until_beats(self, count: int = 2) -> None:
        before = self.manager.seen(BEAT)
        self.until(lambda: self.manager.seen(BEAT) >= before + count, f"{count} more beats came")

    def beats_within(self, seconds: float) -> int:
        """Let so much time pass; returns how many beats came."""
        before = self.manager.seen(BEAT)
        threading.Event().wait(seconds)
        return self.manager.seen(BEAT) - before

    def thread(self, name: str) -> int:
        assert self.daemon is not None
        return threads(self.daemon.pid)[name]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedRig]:
    rig = WatchedRig(tmp_path)
    rig.start_printer(speed=20)
    rig.start_daemon()
    rig.until_state("idle")
    rig.until_beats()
    try:
        yield rig
    finally:
        rig.close()


def assert_no_beat_while_frozen(rig: WatchedRig, tid: int) -> None:
    """Freeze a thread for as long as the watchdog would wait: not one beat may come after the first moment."""
    try:
        with frozen(tid):
            rig.beats_within(WATCHDOG_S / 3)  # what was on its way
            assert rig.beats_within(WATCHDOG_S) == 0
    except PermissionError:
        pytest.skip("this machine forbids tracing one's own children")
    rig.until_beats()


@pytest.mark.parametrize("part", ["printer", "db"])
def test_a_hung_thread_ends_the_beats(watched: WatchedRig, part: str) -> None:
    assert_no_beat_while_frozen(watched, watched.thread(part))


def test_a_hung_event_loop_ends_the_beats(watched: WatchedRig) -> None:
    assert watched.daemon is not None
    assert_no_beat_while_frozen(watched, watched.daemon.pid)


@pytest.mark.slow
def test_a_hung_printer_thread_in_a_print_ends_the_beats_and_the_print_goes_on_exactly(
    watched: WatchedRig,
) -> None:
    part = spiral(3000, heat=False)
    job = watched.submit(part)
    watched.until_executed(100)
    assert_no_beat_while_frozen(watched, watched.thread("printer"))
    assert watched.until_ended(job, 120)["state"] == "completed"
