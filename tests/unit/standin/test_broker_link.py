"""The stand-in's connection: every form of broker URL that a unit takes, and the reason where it cannot be made."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.coordinator.broker_address import BrokerAddress
from agent.coordinator.standin.broker_link import (
    BrokerLink,
    BrokerPlace,
    Connected,
    Disconnected,
    LinkEvent,
    forget_unacknowledged,
    parse_broker,
)
from agent.domain.errors import UsageError
from tests.unit.coordinator.broker import MOSQUITTO, Broker, free_port, is_open
from tests.unit.coordinator.certificates import OPENSSL, authority, certificate

WITHIN_S = 15.0
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://host", BrokerAddress("host", 1883, is_tls=False)),
        ("mqtts://host:9883", BrokerAddress("host", 9883, is_tls=True)),
        ("ws://host", BrokerAddress("host", 80, is_tls=False, is_websocket=True)),
        ("wss://host/broker", BrokerAddress("host", 443, is_tls=True, is_websocket=True, path="/broker")),
        ("wss://[::1]:8443", BrokerAddress("::1", 8443, is_tls=True, is_websocket=True)),
    ],
)
def test_broker_urls(url: str, address: BrokerAddress) -> None:
    assert parse_broker(url) == BrokerPlace(address)


@pytest.mark.parametrize(
    "url",
    ["", "http://x", "mqtt://", "mqtt://u:secret@host", "mqtt://host:99999", "host:1883", "mqtt://h/path"],
)
def test_broker_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_broker(url)
    assert "wss://" in caught.value.remedy


@contextlib.contextmanager
def first_event(place: BrokerPlace) -> Iterator[LinkEvent]:
    link = BrokerLink(place, "coordinator-1")
    link.start()
    try:
        yield link.events.get(timeout=WITHIN_S)
    except queue.Empty:
        pytest.fail("the link said nothing")
    finally:
        link.stop()


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A mosquitto with a plain, a WebSocket, a TLS and a TLS WebSocket listener; their URLs by scheme."""
    if MOSQUITTO is None or OPENSSL is None:
        pytest.skip("mosquitto or openssl is not installed")
    authority(tmp_path, "root")
    authority(tmp_path, "stranger")
    certificate(tmp_path, "good", "root")
    files = (f"cafile {tmp_path}/root.pem", f"certfile {tmp_path}/good.pem", f"keyfile {tmp_path}/good.key")
    ports = {scheme: free_port() for scheme in ("ws", "mqtts", "wss")}
    lines = ["allow_anonymous true"]
    for scheme, port in ports.items():
        lines += [f"listener {port} 127.0.0.1", "socket_domain ipv4"]
        lines += ["protocol websockets"] if "w" in scheme else []
        lines += files if scheme.endswith("s") and scheme != "ws" else []
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker", tuple(lines))
    broker.start()
    assert all(is_open(port) for port in ports.values())
    yield {"mqtt": broker.url} | {scheme: f"{scheme}://127.0.0.1:{port}" for scheme, port in ports.items()}
    broker.kill()


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
def test_every_kind_of_connection(brokers: dict[str, str], tmp_path: Path, scheme: str) -> None:
    place = replace(parse_broker(brokers[scheme]), ca_file=str(tmp_path / "root.pem"))
    with first_event(place) as event:
        assert isinstance(event, Connected), event


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
def test_an_authority_it_does_not_know_is_named(brokers: dict[str, str], tmp_path: Path, scheme: str) -> None:
    place = replace(parse_broker(brokers[scheme]), ca_file=str(tmp_path / "stranger.pem"))
    with first_event(place) as event:
        assert isinstance(event, Disconnected)
        assert "authority" in event.reason


def test_a_broker_that_is_not_there_is_named() -> None:
    with first_event(parse_broker(f"mqtt://127.0.0.1:{free_port()}")) as event:
        assert isinstance(event, Disconnected)
        assert "refuses" in event.reason


class OldClient:
    """What paho 2.1 has of it."""

    def __init__(self) -> None:
        self._out_message_mutex = threading.RLock()
        self._out_messages = {1: "sent, not acknowledged"}


class NewClient:
    """paho 2.2."""

    def __init__(self) -> None:
        self.is_dropped = False

    def drop_out_messages(self) -> list[Any]:
        self.is_dropped = True
        return []


def test_what_nobody_acknowledged_is_forgotten_by_every_paho() -> None:
    old: Any = OldClient()
    forget_unacknowledged(old)
    assert old._out_messages == {}
    new: Any = NewClient()
    forget_unacknowledged(new)
    assert new.is_dropped
    real = mqtt.Client(CallbackAPIVersion.VERSION2)
    assert hasattr(real, "drop_out_messages") or hasattr(real, "_out_message_mutex"), "a paho of neither kind"
