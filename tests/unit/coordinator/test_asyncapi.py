"""`docs/asyncapi.yaml` is current, hangs together, and its examples are what the models read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.coordinator.topics import Topics
from tests.unit.coordinator.asyncapi_file import CHANNELS, FILE, Channel, as_yaml, document, text


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_file_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run python tests/unit/coordinator/asyncapi_file.py"


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    found = list(references(whole))
    assert len(found) > 30
    for reference in found:
        place: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert isinstance(place, dict)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_the_examples_are_documents(channel: Channel) -> None:
    for model, example in channel.models:
        read = model.model_validate_json(json.dumps(example))
        assert not read.model_extra, "an example shows the fields there are"
        again = json.loads(read.to_json())
        assert {key: again[key] for key in example if not isinstance(example[key], (dict, list))} == {
            key: value for key, value in example.items() if not isinstance(value, (dict, list))
        }


def test_the_topics_are_those_of_the_unit() -> None:
    topics = Topics("unit-1")
    told = {channel["address"].replace("{unit}", "unit-1") for channel in document()["channels"].values()}
    assert told == {
        topics.events, topics.live, topics.results, topics.presence, topics.description,
        topics.jobs, topics.commands, topics.ack, topics.want,
    }  # fmt: skip
    for operation in document()["operations"].values():
        is_down = "/down/" in document()["channels"][operation["channel"]["$ref"].split("/")[-1]]["address"]
        assert operation["action"] == ("receive" if is_down else "send")


def test_the_writer_writes_yaml() -> None:
    assert as_yaml({"a": [1, {"b": "x: y"}], "c d": {}, "true": None}) == (
        'a:\n  - 1\n  - b: "x: y"\nc d: {}\n"true": null\n'
    )
