from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.coordinator.broker import MOSQUITTO, Broker

StartBroker = Callable[..., Broker]


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Start a mosquitto with further lines of configuration."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt install mosquitto`")
    brokers: list[Broker] = []

    def start(*extra: str, bind: str = "127.0.0.1") -> Broker:
        folder = tmp_path / f"broker-{len(brokers)}"
        folder.mkdir()
        broker = Broker(folder, extra or ("allow_anonymous true",))
        broker.bind = bind
        broker.start()
        brokers.append(broker)
        return broker

    yield start
    for broker in brokers:
        broker.kill()
