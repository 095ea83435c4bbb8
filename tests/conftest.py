"""What all tests need of the process they run in."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_arrives() -> None:
    """Background jobs of a shell ignore SIGINT, and children inherit that: the tests of Ctrl-C could not work."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
