"""What all tests need of the process they run in."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about what else the machine does than about the code: pytest's timeout bounds it.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_arrives() -> None:
    """Background jobs of a shell ignore SIGINT, and children inherit that: the tests of Ctrl-C could not work."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
