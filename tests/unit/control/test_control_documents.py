"""The documents: pure, complete, and as docs/control-api.md describes them."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control import document_types, documents
from agent.control.answers import encode
from agent.control.api import build_app
from agent.control.documents import samples_document
from agent.control.status import QUEUE_SHOWN, StatusParts, status_document
from agent.control.streams import StreamSlots
from agent.control.unit import UnitIdentity
from agent.domain.job import Job, JobState, Reason
from agent.domain.printer import PrinterSnapshot, Prompt, Sample, Temperature
from tests.unit.control.fake_unit import (
    FakeUnit,
    make_event,
    make_job,
    make_print,
    printing_unit,
    with_prompt,
)

REFERENCE = (Path(__file__).resolve().parents[3] / "docs" / "control-api.md").read_text()


def parts(unit: FakeUnit, **changes: Any) -> StatusParts:
    """The inputs of a status document."""
    given_parts: dict[str, Any] = {
        "identity": UnitIdentity("unit-1", "U", "0.1.0", 1, 100.0),
        "printer": unit.printer.view,
        "jobs": [job for job in unit.queue.jobs if not job.state.is_terminal],
        "bed": unit.queue.bed_state,
        "link": None,
        "warnings": (),
        "now_s": 160.04,
        "now_ms": 5,
    }
    return StatusParts(**{**given_parts, **changes})


def shape_faults(value: Any, hint: Any, path: str = "$") -> list[str]:
    """Compare a document with its TypedDict, both ways."""
    if value is None or not hasattr(hint, "__optional_keys__"):
        return []
    hints = get_type_hints(hint)
    optional: frozenset[str] = getattr(hint, "__optional_keys__", frozenset())
    faults = [f"{path}.{key} unknown" for key in value if key not in hints]
    faults += [f"{path}.{key} missing" for key in hints if key not in value and key not in optional]
    for key in set(value) & set(hints):
        if get_origin(hints[key]) is dict:  # keyed by heater or axis
            for name, item in value[key].items():
                faults += shape_faults(item, get_args(hints[key])[1], f"{path}.{key}.{name}")
            continue
        for candidate in get_args(hints[key]) or (hints[key],):
            if isinstance(value[key], dict) and hasattr(candidate, "__optional_keys__"):
                faults += shape_faults(value[key], candidate, f"{path}.{key}")
    return faults


def test_documents_have_exactly_the_fields_of_their_types() -> None:
    unit = with_prompt(printing_unit(now_s=160.0))
    status = status_document(parts(unit, samples=unit.printer.telemetry))
    assert shape_faults(status, document_types.StatusDocument) == []
    assert shape_faults(status["queue"]["jobs"][0], document_types.JobDocument) == []
    assert shape_faults(documents.print_document(make_print("p-1")), document_types.PrintDocument) == []
    assert shape_faults(documents.event_document(make_event(1)), document_types.EventDocument) == []


def test_every_document_is_json_with_plain_strings() -> None:
    job = make_job("j-1", state=JobState.HELD, reason=Reason.USER, held_from=JobState.READY)
    document = json.loads(encode(documents.job_document(job)))
    assert (document["state"], document["reason"], document["held_from"]) == ("held", "user", "ready")
    assert document.keys() == {field.name for field in fields(Job)}


def test_the_print_document_keeps_the_receipt_and_the_snapshot_to_itself() -> None:
    document = documents.print_document(make_print("p-1", pause_snapshot="{}"))
    assert document["has_receipt"]
    assert not {"receipt", "pause_snapshot"} & document.keys()


def test_uptime_counts_from_the_start() -> None:
    assert status_document(parts(FakeUnit()))["unit"]["uptime_s"] == 60.0


def test_a_long_queue_is_shown_in_part_and_counted_in_full() -> None:
    unit = FakeUnit()
    unit.queue.jobs = [make_job(f"j-{number}") for number in range(QUEUE_SHOWN + 5)]
    queue = status_document(parts(unit))["queue"]
    assert (len(queue["jobs"]), queue["total"], queue["counts"]) == (
        QUEUE_SHOWN,
        QUEUE_SHOWN + 5,
        {"ready": QUEUE_SHOWN + 5},
    )


def test_a_prompt_has_its_choices_as_a_list() -> None:
    view = PrinterSnapshot(prompt=Prompt("Colour?", ("red", "blue")))
    assert documents.printer_document(view)["prompt"] == {"text": "Colour?", "choices": ["red", "blue"]}


@given(count=st.integers(0, 700), shown=st.integers(1, 130))
def test_samples_are_thinned_evenly_and_the_newest_is_kept(count: int, shown: int) -> None:
    samples = [Sample(float(second), {"T0": Temperature(second)}) for second in range(count)]
    series = samples_document(samples, float(count), shown)
    if not count:
        assert series == {}
        return
    points = series["T0"]
    assert 1 <= len(points) <= shown
    assert points[-1][:2] == [1.0, count - 1]
    steps = {later[1] - earlier[1] for earlier, later in pairwise(points)}
    assert len(steps) <= 1


def test_a_heater_that_appears_later_has_fewer_points() -> None:
    samples = [
        Sample(1.0, {"T0": Temperature(20)}),
        Sample(2.0, {"T0": Temperature(21), "B": Temperature(30, 60)}),
    ]
    assert samples_document(samples, 3.0, 10) == {
        "T0": [[2.0, 20, 0.0], [1.0, 21, 0.0]],
        "B": [[1.0, 30, 60]],
    }


def _routes() -> set[tuple[str, str]]:
    app = build_app(printing_unit().facade(), StreamSlots())
    return {(method, route.path) for route in app.routes for method in route.methods}


async def test_the_reference_lists_exactly_the_paths_that_exist() -> None:
    documented = set(re.findall(r"^\| `(GET|POST) (/v1/[^`?]*)", REFERENCE, re.MULTILINE))
    assert documented == _routes()


@pytest.mark.parametrize(
    "name",
    [
        "StatusDocument",
        "PrinterDocument",
        "JobDocument",
        "PrintDocument",
        "EventDocument",
        "ProgressDocument",
    ],
)
def test_the_reference_describes_every_field(name: str) -> None:
    section = re.search(rf"^### {name}$(.*?)(?=^##|\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    assert section is not None, f"no section {name}"
    described = set(re.findall(r"^\| `([a-z0-9_]+)`", section[1], re.MULTILINE))
    assert described == set(get_type_hints(getattr(document_types, name)))
