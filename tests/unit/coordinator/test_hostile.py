"""Whatever comes on a `down/` topic: answered or dropped, acknowledged, and never the end of the link."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.coordinator.documents import (
    DocumentError,
    Problem,
    parse_ack,
    parse_command_message,
    parse_job_message,
    parse_want,
)
from agent.coordinator.documents.base import MAX_DOCUMENT_BYTES, MAX_PAYLOAD_BYTES
from tests.unit.coordinator.bench import TOPICS, bench, command_payload, job_content, job_payload, until

PARSERS: list[Callable[[bytes], object]] = [parse_job_message, parse_command_message, parse_ack, parse_want]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63, max_value=10**30)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["\x00", "\u202e", "a" * 5000, "../../etc", "😀" * 50, "NaN"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["v", "job_id", "rev", "unit", "artefact", "copies", "priority", "not_before", "expires", "require", "limits",
          "policy", "sent", "cmd_id", "command", "args", "if_state", "if_job", "epoch", "upto", "jobs", "kid", "sig",
          "payload"]  # fmt: skip
BOMB = zlib.compress(b'{"a":"' + b"a" * (4 * MAX_DOCUMENT_BYTES) + b'"}')
RAW = [
    b"",
    b"\x00",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b'{"v":1',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe\x00",
    b'{"v":"\xff"}',
    b'{"v":' + b"9" * 100_000 + b"}",
    b'{"v":1e999999}',
    b'{"v":NaN}',
    b"x\x9c",
    b"x\x9cnonsense",
    BOMB,
    zlib.compress(b"[" * 100_000),
    b" " * (MAX_PAYLOAD_BYTES + 1),
]


def texts(value: Any) -> bytes:
    return json.dumps(value, allow_nan=True).encode("utf-8", "surrogatepass")


def problems(parse: Callable[[bytes], object], payload: bytes) -> tuple[Problem, ...] | None:
    """Return what is wrong with a payload, None for nothing. Any other exception is a failure of the test."""
    try:
        parse(payload)
    except DocumentError as error:
        return error.problems
    return None


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=60)
@given(payload=st.binary(max_size=300) | st.sampled_from(RAW))
def test_any_bytes_are_a_document_or_an_error(parse: Callable[[bytes], object], payload: bytes) -> None:
    found = problems(parse, payload)
    if found is None:
        assert parse is parse_want
        assert payload == b""
    else:
        assert found
        assert sum(len(problem.path) + len(problem.message) for problem in found) < 3000


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=60)
@given(content=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=8))
def test_any_object_is_a_document_or_an_error(
    parse: Callable[[bytes], object], content: dict[str, Any]
) -> None:
    assert problems(parse, texts(content)) != ()


@settings(max_examples=60)
@given(data=st.data())
def test_a_job_with_one_wrong_field_names_it(data: st.DataObject) -> None:
    content = job_content()
    place: dict[str, Any] = content
    path = data.draw(
        st.sampled_from(["job_id", "rev", "copies", "priority", "artefact.sha256", "artefact.size"])
    )
    *parents, name = path.split(".")
    for parent in parents:
        place = place[parent]
    place[name] = data.draw(st.sampled_from([None, [], {}, True, -(10**20), "", "\n", 1.5, "ü" * 300]))
    found = problems(parse_job_message, texts(content))
    assert found is not None
    assert {problem.path for problem in found} == {path}


async def test_the_link_lives_through_all_of_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        client = made.network.last
        acks = [
            client.deliver(
                topic, payload, retain=retain, content_type="application/json+zlib" if retain else None
            )
            for topic in (TOPICS.jobs, TOPICS.commands, TOPICS.ack, TOPICS.want, f"{TOPICS.jobs}/more", "x")
            for payload in RAW
            for retain in (False, True)
        ]
        await until(lambda: len(client.acked) == len(acks), "something was not acknowledged")
        assert len(made.network.clients) == 1, "nothing cut the connection"
        assert made.printer.calls == []
        assert await made.queue.list(include_over=True) == ()
        assert (await made.job(job_payload())).status.value == "accepted"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=10), min_size=1, max_size=30)
)
async def test_schema_aware_noise(tmp_path: Path, contents: list[dict[str, Any]]) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        client = made.network.last
        sent = 0
        for content in contents:
            job, command = (
                {**job_content(), **content},
                {"v": 1, "cmd_id": "c", "command": "cancel", **content},
            )
            client.deliver(TOPICS.jobs, texts(job))
            client.deliver(TOPICS.commands, texts(command))
            client.deliver(TOPICS.want, texts(content))
            client.deliver(TOPICS.ack, texts(content))
            sent += 4
        await until(lambda: len(client.acked) == sent)
        assert len(made.network.clients) == 1
        assert made.printer.calls == []
        for job_row in await made.queue.list(include_over=True):
            assert job_row.source == "coordinator"


async def test_a_retained_flood_stays_bounded(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        client = made.network.last
        for number in range(3_000):
            payload = command_payload("cool", f"c{number}", expires=made.clock.t_ms + 9000)
            client.deliver(TOPICS.commands, payload, retain=True)
        await until(lambda: len(client.acked) == 3_000)
        session = made.coordinator._link._session  # type: ignore[union-attr]
        assert len(session._results) <= 200
        assert made.printer.calls == []
