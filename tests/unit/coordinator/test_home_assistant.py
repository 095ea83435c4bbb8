"""Home Assistant's discovery: only where the owner wants it; its templates fit what is sent, its buttons are commands.

The document itself was checked once with Home Assistant's own schemas, see docs/coordinator.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from agent.coordinator.documents import parse_command
from agent.domain.printer import PrinterState, Temperature
from tests.unit.coordinator.bench import TOPICS, UNIT, bench, until

CONFIG = f"homeassistant/device/fabunit_{UNIT}/config"


def components(payload: bytes) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(payload)["cmps"]
    return found


async def test_a_unit_is_not_shown_unless_its_owner_wants_that(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        assert not [
            message for _, message in made.network.last.sent if message.topic.startswith("homeassistant")
        ]
        assert not made.network.last.on(TOPICS.home)


async def test_every_connection_announces_the_device_behind_the_birth(tmp_path: Path) -> None:
    async with bench(tmp_path, home_assistant=True) as made:
        await made.online()
        await until(lambda: made.network.last.on(TOPICS.home))
        topics = [message.topic for _, message in made.network.last.sent]
        assert topics.index(TOPICS.presence) < topics.index(CONFIG) < topics.index(TOPICS.home)
        announced = made.network.last.on(CONFIG)[0]
        assert announced.retain
        document = json.loads(announced.payload)
        assert document["state_topic"] == TOPICS.home
        assert document["availability"][0]["topic"] == TOPICS.presence
        ids = [component["unique_id"] for component in document["cmps"].values()]
        assert len(set(ids)) == len(ids)
        made.network.last.cut()
        await until(lambda: len(made.network.clients) == 2 and made.network.last.on(CONFIG))


async def test_templates_find_what_they_show(tmp_path: Path) -> None:
    async with bench(tmp_path, home_assistant=True) as made:
        made.printer.temperatures = {"T0": Temperature(210.4, 210.0), "B": Temperature(60.0, 60.0)}
        made.printer.state = PrinterState.PRINTING
        await made.online()
        await until(lambda: made.network.last.on(TOPICS.home))
        state = json.loads(made.network.last.on(TOPICS.home)[0].payload)
        for component in components(made.network.last.on(CONFIG)[0].payload).values():
            for path in re.findall(r"value_json\.([A-Za-z0-9_.]+)", component.get("value_template", "")):
                value: Any = state
                for name in path.split("."):
                    value = value[name]
                assert value is not None
        assert (state["state"], state["busy"], state["temperatures"]["T0"]) == ("printing", True, 210)


async def test_a_button_is_a_command_that_the_unit_takes(tmp_path: Path) -> None:
    async with bench(tmp_path, home_assistant=True, deny=["stop"]) as made:
        await made.online()
        await until(lambda: made.network.last.on(CONFIG))
        buttons = {
            name: component
            for name, component in components(made.network.last.on(CONFIG)[0].payload).items()
            if component["p"] == "button"
        }
        assert set(buttons) == {"pause", "resume", "cancel"}, "what is denied has no button"
        for name, button in buttons.items():
            assert button["command_topic"] == TOPICS.commands
            pressed = re.sub(r"\{\{.*?\}\}", str(made.clock.t_ms + 9000), button["command_template"])
            assert parse_command(pressed.encode()).command == name
            answers = await made.command(pressed.replace("home-", f"home-{name}-").encode())
            assert answers[-1].code != "malformed"


async def test_where_signatures_are_demanded_there_are_no_buttons(tmp_path: Path) -> None:
    keys = ["ed25519 k1 " + "A" * 43 + "="]
    async with bench(tmp_path, home_assistant=True, require_signature=True, trusted_keys=keys) as made:
        await made.online()
        await until(lambda: made.network.last.on(CONFIG))
        kinds = {component["p"] for component in components(made.network.last.on(CONFIG)[0].payload).values()}
        assert kinds == {"sensor", "binary_sensor"}
