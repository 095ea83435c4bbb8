"""`[coordinator]`: what is refused before the daemon starts, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.coordinator.broker_address import parse_address
from agent.coordinator.documents import CommandName
from agent.coordinator_settings import COMMANDS, DENIED_BY_DEFAULT
from agent.domain.errors import ConfigError
from agent.settings import Settings, load_settings


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "fabunit.toml"
    path.write_text(f"[coordinator]\n{text}\n", encoding="utf-8")
    return load_settings(path, {})


def test_without_the_section_the_unit_stands_alone() -> None:
    assert not load_settings(None, {}).coordinator.is_on


def test_a_whole_section(tmp_path: Path) -> None:
    section = load(
        tmp_path,
        """
        url = "mqtts://broker.example:8883"
        more_urls = ["wss://other.example/mqtt"]
        username = "unit-1"
        password_file = "/etc/fabunit/password"
        allow = ["bed_clear"]
        deny = ["stop"]
        accept = "ask"
        accept_hours = ["mon-fri 08-18 auto"]
        materials = [{material = "PLA", color = "black", left_g = 750.0}]
        """,
    ).coordinator
    assert section.is_on
    assert [str(address) for address in section.addresses] == [
        "mqtts://broker.example:8883",
        "wss://other.example:443/mqtt",
    ]
    assert "bed_clear" in section.allowed_commands
    assert "stop" not in section.allowed_commands
    assert section.materials[0].slot == "T0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url = 'broker.example'", "mqtts://"),
        ("url = 'http://broker.example'", "mqtts://"),
        ("url = 'mqtts://user:secret@broker.example'", "password_file"),
        ("url = 'mqtts://broker.example:99999'", "URL"),
        ("url = 'mqtt://broker.example'", "plaintext"),
        ("url = 'mqtts://a'\nmore_urls = ['ws://b']", "plaintext"),
        ("url = 'mqtts://a'\nrequire_signature = true", "trusted_keys"),
        ("url = 'mqtts://a'\nclient_key = '/k'", "client_cert"),
        ("url = 'mqtts://a'\npassword_file = 'relative'", "absolute"),
        ("url = 'mqtts://a'\naccept_hours = ['always']", "mon-fri"),
        ("url = 'mqtts://a'\nallow = ['dance']", "allow"),
        ("url = 'mqtts://a'\nclient_id = 'a b'", "client id"),
        ("username = 'x'", "url is missing"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in f"{caught.value.message} {caught.value.remedy}"


@pytest.mark.parametrize("url", ["mqtt://localhost", "mqtt://127.0.0.1:1", "ws://[::1]:9001/mqtt"])
def test_plain_text_on_this_machine_needs_no_permission(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, f"url = '{url}'").coordinator.addresses[0].is_loopback


def test_commands_of_settings_and_documents_are_the_same() -> None:
    assert set(COMMANDS) == {name.value for name in CommandName}
    assert set(COMMANDS) > DENIED_BY_DEFAULT


@pytest.mark.parametrize(
    "url", ["mqtts://host", "mqtt://10.0.0.1:1884", "wss://host/x/y", "ws://[fe80::1]:80"]
)
def test_an_address_is_written_as_it_is_read(url: str) -> None:
    address = parse_address(url)
    assert parse_address(str(address)) == address
