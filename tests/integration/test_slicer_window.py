"""A person presses *Send G-code* in a real PrusaSlicer, and the part is printed.

`FABUNIT_RECORD=tests/data/slicers` writes what it sent there; `tests/unit/web/test_recorded.py` replays that.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.rig import Rig, commands
from tests.integration.test_web import KEY, WebRig
from tests.slicer_window import SlicerWindow, missing
from tests.wire_tap import Exchange, WireTap

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=f"{missing()} is not installed"),
]


@pytest.fixture
def web(rig: Rig) -> WebRig:
    found = WebRig(rig)
    found.start(speed=200.0)
    return found


def file_of(exchange: Exchange) -> bytes:
    """The file in the form, from the bytes on the wire."""
    head, _, body = bytes(exchange.sent).partition(b"\r\n\r\n")
    boundary = head.rpartition(b"boundary=")[2].partition(b"\r\n")[0]
    part = next(part for part in body.split(b"--" + boundary) if b'filename="' in part)
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def record(name: str, exchange: Exchange) -> None:
    if folder := os.environ.get("FABUNIT_RECORD"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(exchange.sent)


def test_a_person_with_prusaslicer(web: WebRig, tmp_path: Path) -> None:
    shots = Path(os.environ.get("FABUNIT_SCREENSHOTS", tmp_path))
    with WireTap(web.port) as tap, SlicerWindow(tmp_path, f"http://127.0.0.1:{tap.port}", KEY) as slicer:
        assert slicer.test_connection() == "PrusaSlicer - Success!"
        (tested,) = tap.exchanges
        assert tested.sent.startswith(b"GET /api/version HTTP/1.1\r\n")
        record("prusaslicer-2.5.0-test.http", tested)

        slicer.slice_and_send(is_print=False, name="plates/held part.gcode")
        web.rig.until(lambda: bool(web.rig.client.get("/v1/jobs")["jobs"]), "the file is in the queue", 60)
        held = web.rig.client.get("/v1/jobs")["jobs"][0]
        web.rig.until(lambda: web.rig.job(held["job_id"])["state"] == "held", "it waits for a person")
        assert held["name"] == "held part.gcode", "a folder of the slicer's is no path here"
        upload = tap.exchanges[-1]
        record("prusaslicer-2.5.0-upload.http", upload)
        web.rig.client.post(f"/v1/jobs/{held['job_id']}/cancel")

        slicer.slice_and_send(is_print=True)
        web.rig.until(lambda: len(web.rig.client.get("/v1/jobs")["jobs"]) > 0, "the second file is there", 60)
        printed = web.rig.client.get("/v1/jobs")["jobs"][0]
        assert web.rig.until_ended(printed["job_id"])["state"] == "completed"
        slicer.screenshot(shots / "prusaslicer-sent.png")
        upload = tap.exchanges[-1]
        record("prusaslicer-2.5.0-print.http", upload)
        assert printed["name"] == "bench cube.gcode"
        assert web.rig.executed() == commands(file_of(upload).decode()), (
            "what the slicer made is what was printed"
        )
        assert b" 201 Created" in upload.answered


def test_a_person_with_a_wrong_key(web: WebRig, tmp_path: Path) -> None:
    shots = Path(os.environ.get("FABUNIT_SCREENSHOTS", tmp_path))
    with SlicerWindow(tmp_path, f"http://127.0.0.1:{web.port}", "not the key of this unit") as slicer:
        assert slicer.test_connection(shots / "prusaslicer-wrong-key.png") == "PrusaSlicer error"
    assert web.rig.client.get("/v1/jobs")["jobs"] == []
