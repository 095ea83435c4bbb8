"""Confidential orders: sealed to one unit, fetched, opened, printed exactly, and gone afterwards."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.coordinator import sealed_files
from agent.coordinator.standin import orders, pushing
from agent.coordinator.standin.broker import find_mosquitto
from agent.coordinator.standin.pushing import Wishes
from agent.slicing.programs import has_engine
from agent.storage.backup import back_up
from tests.integration.cli_runner import fabunit
from tests.integration.rig import Rig, commands, spiral
from tests.integration.workshop import UNIT, Workshop, all_arrived, completed, ready
from tests.unit.slicing.solids import box, save

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

SECRET = "; designed by nobody you know, for nobody else's eyes"
SEALED = Wishes(is_encrypted=True, is_erased=True, is_signed=True)


def secret_part(folder: Path) -> Path:
    path = folder / "sealed.gcode"
    path.write_text(f"{SECRET}\n{spiral(400)}")
    return path


def traces(state: Path, needles: Iterable[bytes]) -> list[str]:
    """Where below `state` one of the needles is: as it is, as base64, or within a zlib stream at a file's beginning."""
    wanted = [needle for needle in needles if len(needle) >= 12]
    wanted += [base64.b64encode(needle[offset:])[4:-4] for needle in wanted for offset in range(3)]
    found = []
    for path in sorted(state.rglob("*")):
        try:
            data = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            continue  # a file on its way to its name
        data += inflated(data)
        found += [f"{path.relative_to(state)}: {needle!r}" for needle in wanted if needle in data]
    return found


def inflated(data: bytes) -> bytes:
    """What a zlib stream holds; nothing where `data` is none (a random key begins like one now and then)."""
    try:
        return zlib.decompressobj().decompress(data)
    except zlib.error:
        return b""


def lines_of(part: Path) -> list[bytes]:
    """Lines that no other print has: its remark, and some of its moves from beginning to end."""
    moves = [line.encode() for line in part.read_text().splitlines() if " E0.0" in line]
    return [*moves[::20], SECRET.encode()]


def until_erased(rig: Rig, job_id: str) -> None:
    """Wait for the record that says so; fail after the deadline."""

    def is_erased() -> bool:
        told = rig.client.get("/v1/events")["events"]
        return any(event["job_id"] == job_id and event["data"].get("event") == "erased" for event in told)

    rig.until(is_erased, f"the files of {job_id} are erased")


def test_a_sealed_order_is_printed_exactly_and_leaves_nothing(
    rig: Rig, workshop: Workshop, tmp_path: Path
) -> None:
    """By hand, as docs/coordinator.md tells it: `fabunit coordinator push --encrypt --erase`."""
    part = secret_part(tmp_path)
    ready(rig, workshop)
    arguments = ["coordinator", "push", str(part), "--db", str(workshop.ledger.path), "--unit", UNIT]
    said = fabunit(*arguments, "--encrypt", "--erase", "--sign", "--json").document()
    job_id = said["jobs"][0]["job_id"]
    (served,) = workshop.ledger.files_dir.iterdir()
    assert not traces(served.parent, lines_of(part)), "what lies at the coordinator's file server can be read"
    rig.until_executed(100)
    assert traces(rig.state, lines_of(part)), "the search finds nothing even while the part is being printed"
    completed(rig, workshop, job_id)
    assert rig.executed() == commands(part.read_text())
    until_erased(rig, job_id)
    assert traces(rig.state, lines_of(part)) == []
    assert workshop.command("bed_clear") == "done"
    all_arrived(rig, workshop)
    rig.stop_daemon()
    assert traces(rig.state, lines_of(part)) == [], "the end of the daemon wrote something down"


def test_an_inline_order_leaves_nothing_in_the_database(rig: Rig, workshop: Workshop, tmp_path: Path) -> None:
    part = secret_part(tmp_path)
    ready(rig, workshop)
    job_id = workshop.push(part, Wishes(is_inline=True, is_erased=True, is_signed=True))
    rig.until_executed(100)
    copy = back_up(rig.state / "fabunit.db")
    found = traces(rig.state, lines_of(part))
    assert any(trace.startswith(copy.name) for trace in found), "the daily copy has the order by now"
    completed(rig, workshop, job_id)
    assert rig.executed() == commands(part.read_text())
    until_erased(rig, job_id)
    rig.until(
        lambda: not traces(rig.state, lines_of(part)), "the daily copy and the WAL have forgotten it, too"
    )
    assert (rig.state / "fabunit.db.backup").exists()
    assert rig.stop_daemon() == 0
    assert traces(rig.state, lines_of(part)) == []


@pytest.mark.skipif(not has_engine("auto"), reason="no slicer is installed here")
def test_what_was_made_of_a_sealed_mesh_is_erased_with_it(
    rig: Rig, workshop: Workshop, tmp_path: Path
) -> None:
    part = save(tmp_path / "sealed.stl", box(20, 20, 2))
    ready(rig, workshop, speed=2000)
    wishes = Wishes(material="PLA", quality="draft", is_encrypted=True, is_erased=True, is_signed=True)
    job_id = workshop.push(part, wishes)
    completed(rig, workshop, job_id)
    sliced = [line.encode() for line in rig.executed() if line.startswith("G1 X")]
    until_erased(rig, job_id)
    assert traces(rig.state, [*sliced[::20], part.read_bytes()[84:]]) == []
    left = {path.name for path in rig.state.rglob("*") if path.suffix in (".gcode", ".stl", ".png", ".3mf")}
    assert left == set()


@dataclass(frozen=True, slots=True)
class Rejection:
    """How an order ended at both ends, and what is left of it at the unit."""

    reason: str
    codes: set[str]
    detail: str
    told: str
    executed: list[str]
    files: list[Path]


def rejection(rig: Rig, workshop: Workshop, job_id: str) -> Rejection:
    """Wait until an order is rejected."""
    rig.until(lambda: workshop.state(job_id) == "rejected", f"{job_id} is rejected")
    job = rig.job(job_id)
    events = [event for event in rig.client.get("/v1/events")["events"] if event["job_id"] == job_id]
    return Rejection(
        reason=job["reason"],
        codes={event["data"]["code"] for event in events if "code" in event["data"]},
        detail=job["detail"],
        told=orders.jobs(workshop.ledger.reading, job_id=job_id)[0].detail or "",
        executed=rig.executed(),
        files=list((rig.state / "artefacts").rglob("*/*")),
    )


def test_a_sealed_file_that_was_changed_on_its_way(rig: Rig, workshop: Workshop, tmp_path: Path) -> None:
    ready(rig, workshop)
    rig.kill_daemon()
    job_id = workshop.push(secret_part(tmp_path), SEALED)
    (served,) = workshop.ledger.files_dir.iterdir()
    body = bytearray(served.read_bytes())
    body[len(body) // 2] ^= 1
    served.write_bytes(body)
    rig.start_daemon()
    found = rejection(rig, workshop, job_id)
    assert (found.reason, found.codes) == ("fetch_failed", {"bad_ciphertext"})
    assert "cannot be opened" in found.detail
    assert found.told == found.detail, "the coordinator hears the same"
    assert (found.executed, found.files) == ([], []), "nothing of it is printed or stays"


def test_a_file_that_is_sealed_to_another_unit(
    rig: Rig, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(rig, workshop)
    other = sealed_files.public_key(bytes(range(32)))
    monkeypatch.setattr(pushing, "_key_of", lambda *_: other)
    job_id = workshop.push(secret_part(tmp_path), SEALED)
    found = rejection(rig, workshop, job_id)
    assert (found.reason, found.codes) == ("fetch_failed", {"bad_ciphertext"})
    assert "not sealed to this unit" in found.detail
    assert found.told == found.detail, "the coordinator hears the same"
    assert (found.executed, found.files) == ([], []), "nothing of it is printed or stays"
