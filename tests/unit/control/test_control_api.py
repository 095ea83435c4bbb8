"""Every path of the control API, over a real Unix socket."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agent.domain.errors import ArtefactError, FabunitError, NotFoundError, RefusedError, UsageError
from agent.domain.job import Reason
from agent.domain.printer import PrinterState

if TYPE_CHECKING:
    from tests.unit.control.served import Served


def test_status_tells_everything_at_a_glance(served: Served) -> None:
    status = served.client().get("/v1/status")
    assert status["unit"] | {"uptime_s": 0} == {
        "id": "unit-1", "name": "Workshop MK3S", "version": "0.1.0", "pid": 4242, "uptime_s": 0,
    }  # fmt: skip
    assert status["unit"]["uptime_s"] >= 60
    assert status["printer"]["state"] == "printing"
    assert status["printer"]["progress"]["layer"] == 45
    assert status["job"]["job_id"] == "j-1"
    assert status["queue"]["counts"] == {"printing": 1, "ready": 1, "held": 1}
    assert [job["job_id"] for job in status["queue"]["jobs"]] == ["j-1", "j-2", "j-3"]
    assert (status["bed"], status["link"], status["warnings"]) == ("occupied", None, [])
    assert "samples" not in status


def test_an_occupied_bed_with_a_ready_job_is_a_warning(served: Served) -> None:
    del served.unit.queue.jobs[0]
    (warning,) = served.client().get("/v1/status")["warnings"]
    assert "fabunit bed clear" in warning


def test_a_file_becomes_a_job_with_all_its_options(served: Served) -> None:
    content = b"G28\nG1 X10\n" * 40_000
    job = served.client().upload(
        "/v1/jobs", io.BytesIO(content), len(content), name="a b ü+&.gcode",
        copies=3, material="PLA", quality="fine", priority=-2, hold=True,
    )  # fmt: skip
    assert (job["name"], job["copies"], job["material"]) == ("a b ü+&.gcode", 3, "PLA")
    assert (job["quality"], job["priority"], job["state"]) == ("fine", -2, "held")
    assert job["artefact_sha256"] == hashlib.sha256(content).hexdigest()
    assert served.unit.queue.calls[-1][1].expected_bytes == len(content), (
        "the store is told the size before the first byte"
    )
    assert served.client().get(f"/v1/jobs/{job['job_id']}") == job


def test_an_upload_without_a_known_size_is_taken_too(served: Served) -> None:
    content = b"x" * 700_000
    seen: list[int] = []
    job = served.client().upload(
        "/v1/jobs", io.BytesIO(content), None, on_progress=seen.append, name="p.gcode"
    )
    assert job["artefact_size"] == len(content)
    assert seen[-1] == len(content)
    assert served.unit.queue.calls[-1][1].expected_bytes is None


def test_jobs_lists_the_queue_and_on_demand_the_past(served: Served) -> None:
    client = served.client()
    assert [job["job_id"] for job in client.get("/v1/jobs")["jobs"]] == ["j-1", "j-2", "j-3"]
    everything = client.get("/v1/jobs", all=True)
    assert [job["job_id"] for job in everything["jobs"]] == ["j-1", "j-2", "j-3", "j-0"]
    assert everything["counts"]["completed"] == 1


@pytest.mark.parametrize(
    ("action", "job_id", "state"),
    [
        ("hold", "j-2", "held"),
        ("release", "j-3", "ready"),
        ("cancel", "j-2", "cancelled"),
        ("retry", "j-0", "received"),
    ],
)
def test_job_actions_answer_the_job_after_them(served: Served, action: str, job_id: str, state: str) -> None:
    job = served.client().post(f"/v1/jobs/{job_id}/{action}")
    assert (job["job_id"], job["state"]) == (job_id, state)
    assert served.unit.queue.calls == [(action, job_id)]


@pytest.mark.parametrize(
    ("body", "before", "to"),
    [
        ({"to": "first"}, None, 1),
        ({"to": "last"}, None, -1),
        ({"to": 3}, None, 3),
        ({"before": "j-2"}, "j-2", None),
    ],
)
def test_move_names_a_place_or_a_neighbour(
    served: Served, body: dict[str, Any], before: str | None, to: int | None
) -> None:
    served.client().post("/v1/jobs/j-3/move", body)
    assert served.unit.queue.calls == [("move", "j-3", before, to)]


@pytest.mark.parametrize(
    "body", [{}, {"to": 0}, {"to": "up"}, {"to": 1, "before": "j-2"}, {"to": 1.5}, {"to": True}]
)
def test_move_refuses_an_unclear_wish(served: Served, body: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        served.client().post("/v1/jobs/j-3/move", body)
    assert served.unit.queue.calls == []


def test_what_a_rule_forbids_keeps_code_message_and_remedy(served: Served) -> None:
    with pytest.raises(RefusedError) as caught:
        served.client().post("/v1/jobs/j-2/retry")
    assert caught.value.to_dict() == {
        "code": "wrong_state", "message": "job j-2 is ready", "remedy": "wait until it is over",
    }  # fmt: skip


def test_an_unknown_job_or_print_is_not_found(served: Served) -> None:
    for path in ("/v1/jobs/j-99", "/v1/prints/p-99", "/v1/prints/p-99/receipt", "/v1/nothing"):
        with pytest.raises(NotFoundError):
            served.client().get(path)


def test_printer_actions_reach_the_service_and_answer_its_state(served: Served) -> None:
    client = served.client()
    assert client.post("/v1/print/pause")["state"] == "paused"
    assert client.post("/v1/print/resume")["state"] == "printing"
    client.post("/v1/printer/connect", {"port": "/dev/ttyACM0"})
    client.post("/v1/printer/connect")
    client.post("/v1/printer/home", {"axes": "XY"})
    client.post("/v1/printer/heat", {"heater": "T0", "celsius": 210})
    client.post("/v1/printer/cool")
    client.post("/v1/prompt", {"choice": 1})
    client.post("/v1/printer/disconnect")
    assert served.unit.printer.calls == [
        ("pause",), ("resume",), ("connect", "/dev/ttyACM0"), ("connect", "auto"), ("home", "XY"),
        ("heat", "T0", 210.0), ("cool",), ("answer", 1), ("disconnect",),
    ]  # fmt: skip


def test_cancel_puts_the_wish_on_record_before_anything_else(served: Served) -> None:
    served.client().post("/v1/print/cancel")
    assert served.unit.queue.calls == [("cancel", "j-1")]
    assert served.unit.printer.calls == []


def test_cancel_without_a_job_goes_to_the_printer(served: Served) -> None:
    served.unit.queue.jobs.clear()
    served.client().post("/v1/print/cancel")
    assert served.unit.printer.calls == [("cancel", Reason.USER)]


def test_printer_limits_are_refused_with_the_reason(served: Served) -> None:
    with pytest.raises(RefusedError, match="above the limit of 280"):
        served.client().post("/v1/printer/heat", {"heater": "T0", "celsius": 400})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/printer/heat", {"heater": "X", "celsius": 20}),
        ("/v1/printer/heat", {"heater": "T0"}),
        ("/v1/printer/heat", {"heater": "T0", "celsius": -1}),
        ("/v1/printer/heat", {"heater": "T0", "celsius": "hot"}),
        ("/v1/printer/home", {"axes": "E"}),
        ("/v1/printer/connect", {"port": "/dev/tty\nACM0"}),
        ("/v1/prompt", {"choice": -1}),
        ("/v1/prompt", {"choice": True}),
        ("/v1/console", {"line": ""}),
        ("/v1/console", {"line": "M105\nM112"}),
        ("/v1/console", {"line": "G1 X\u00e4"}),
        ("/v1/console", {"line": "x" * 257}),
        ("/v1/console", {"line": "M105", "more": 1}),
    ],
)
def test_bodies_of_the_wrong_shape_are_usage_errors(served: Served, path: str, body: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        served.client().post(path, body)
    assert served.unit.printer.calls == []


def test_console_answers_the_replies_and_remembers_the_conversation(served: Served) -> None:
    client = served.client()
    assert client.post("/v1/console", {"line": "M105"}) == {"line": "M105", "replies": ["ok T:21.0 /0.0"]}
    with pytest.raises(RefusedError, match="M502"):
        client.post("/v1/console", {"line": "M502"})
    served.in_loop(lambda: served.unit.printer.say("echo:busy"))
    (entry,) = client.get("/v1/console/tail", n=5)["entries"]
    assert (entry["direction"], entry["text"]) == ("received", "echo:busy")


def test_printer_info_is_the_whole_view(served: Served) -> None:
    document = served.client().get("/v1/printer")
    assert document["firmware"]["capabilities"] == {"EEPROM": True}
    assert document["temperatures"]["B"] == {"actual": 60.1, "target": 60.0, "power": None}
    assert document["health"]["resends"] == 3


def test_a_number_json_does_not_know_becomes_null(served: Served) -> None:
    view = served.unit.printer.view
    served.unit.printer.view = replace(view, position={"X": float("nan"), "Y": 1.0})
    assert served.client().get("/v1/printer")["position"] == {"X": None, "Y": 1.0}


def test_the_bed_is_cleared(served: Served) -> None:
    assert served.client().post("/v1/bed/clear") == {"bed": "clear"}
    assert served.client().get("/v1/status")["bed"] == "clear"


def test_prints_and_receipts(served: Served) -> None:
    client = served.client()
    prints = client.get("/v1/prints")["prints"]
    assert [(entry["print_id"], entry["has_receipt"]) for entry in prints] == [("p-2", True), ("p-1", False)]
    assert client.get("/v1/prints", limit=1)["prints"] == prints[:1]
    assert client.get("/v1/prints/p-2") == prints[0]
    assert client.get("/v1/prints/p-2/receipt") == {
        "print_id": "p-2", "receipt": {"state": "completed", "stats": {"resends": 2}},
    }  # fmt: skip
    with pytest.raises(NotFoundError) as caught:
        client.get("/v1/prints/p-1/receipt")
    assert caught.value.code == "no_receipt"


def test_events_are_read_page_by_page(served: Served) -> None:
    client = served.client()
    first = client.get("/v1/events", limit=2)
    assert ([event["seq"] for event in first["events"]], first["last"]) == ([1, 2], 2)
    rest = client.get("/v1/events", after=first["last"])
    assert ([event["data"]["n"] for event in rest["events"]], rest["last"]) == ([3], 3)
    assert client.get("/v1/events", after=3) == {"events": [], "last": 3}


def test_logs_are_the_newest_of_the_ring(served: Served) -> None:
    for number in range(5):
        served.unit.ring.append({"t_ms": number, "level": "info", "event": f"e{number}"})
    entries = served.client().get("/v1/logs", n=2)["entries"]
    assert [(entry["event"], entry["seq"]) for entry in entries] == [("e3", 4), ("e4", 5)]


@pytest.mark.parametrize(
    "query",
    [{"n": 0}, {"n": "x"}, {"n": "1e3"}, {"n": "9" * 30}, {"n": "-1"}],
)
def test_query_numbers_are_checked(served: Served, query: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="n must be a whole number from 1 to 5000"):
        served.client().get("/v1/logs", **query)


@pytest.mark.parametrize(
    "query",
    [
        {}, {"name": ""}, {"name": ".."}, {"name": "a/b"}, {"name": "a\nb"}, {"name": "ü" * 200},
        {"name": "a.gcode", "copies": 0}, {"name": "a.gcode", "copies": 1000}, {"name": "a.gcode", "hold": "maybe"},
        {"name": "a.gcode", "material": "../x"}, {"name": "a.gcode", "quality": ""},
        {"name": "a.gcode", "priority": 101},
    ],
)  # fmt: skip
def test_orders_of_the_wrong_shape_are_refused_before_the_body_is_read(
    served: Served, query: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        served.client().upload("/v1/jobs", io.BytesIO(b"x" * 3_000_000), 3_000_000, **query)
    assert served.unit.intake.received_bytes == 0


def test_an_upload_over_the_limit_is_refused_by_its_declared_size(served: Served) -> None:
    with pytest.raises(ArtefactError) as caught:
        served.client().upload("/v1/jobs", io.BytesIO(b""), (1 << 30) + 1, name="big.gcode")
    assert caught.value.code == "too_large"


def test_a_bug_in_the_daemon_is_an_error_document_too(served: Served) -> None:
    served.unit.printer.view = None  # type: ignore[assignment] # what no type allows is what a bug does
    with pytest.raises(FabunitError) as caught:
        served.client().get("/v1/printer")
    assert caught.value.code == "internal"
    assert served.client().get("/v1/jobs")["jobs"], "the server goes on"


def test_stop_needs_no_body_no_database_and_no_json(served: Served) -> None:
    answer = served.exchange(
        b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{not json"
    )
    assert served.unit.printer.calls == [("stop",)]
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["state"] == PrinterState.HALTED
