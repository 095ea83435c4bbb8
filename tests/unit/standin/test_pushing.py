from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from agent.coordinator import sealed_files
from agent.coordinator.documents import Command, JobDocument, parse_job
from agent.coordinator.fetch.part_file import PartFile
from agent.coordinator.signatures import TrustedKeys, Verifier, public_key
from agent.coordinator.standin import orders, pushing, units
from agent.coordinator.standin.ledger import Ledger, set_meta
from agent.coordinator.standin.pushing import Wishes
from agent.domain.errors import FabunitError, NotFoundError, UsageError
from tests.unit.standin.said import UNIT

NOW = 1_000_000
PRIVATE = bytes(range(1, 33))


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part.gcode"
    path.write_bytes(b"G28\n" * 50)
    return path


@pytest.fixture(autouse=True)
def known(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        set_meta(connection, "files_url", "http://files.example:8080")


def documents(ledger: Ledger) -> list[JobDocument]:
    return [parse_job(payload) for payload in payloads(ledger)]


def payloads(ledger: Ledger) -> list[bytes]:
    return [row["payload"] for row in ledger.reading.execute("SELECT payload FROM jobs ORDER BY n")]


def push(
    ledger: Ledger, *files: Path, unit_ids: tuple[str, ...] = (UNIT,), **wishes: Any
) -> list[pushing.Pushed]:
    return pushing.push(ledger, files, unit_ids, Wishes(**wishes), NOW)


def test_a_pushed_file_is_described_and_served(ledger: Ledger, part: Path) -> None:
    (pushed,) = push(ledger, part, copies=3, material="PLA", is_held=True, expires_ms=NOW + 1)
    (document,) = documents(ledger)
    sha256 = hashlib.sha256(part.read_bytes()).hexdigest()
    assert document.job_id == pushed.job_id
    assert document.unit == UNIT
    assert (document.copies, document.material, document.policy.auto_start) == (3, "PLA", False)
    assert document.artefact.url == f"http://files.example:8080/files/{sha256}"
    assert (document.artefact.sha256, document.artefact.size) == (sha256, 200)
    assert (ledger.files_dir / sha256).read_bytes() == part.read_bytes()


def test_every_unit_gets_its_own_job_of_one_file(ledger: Ledger, part: Path) -> None:
    pushed = push(ledger, part, unit_ids=("unit-a", "unit-b"))
    assert len({job.job_id for job in pushed}) == 2
    assert [document.unit for document in documents(ledger)] == ["unit-a", "unit-b"]
    assert len(list(ledger.files_dir.iterdir())) == 1


def test_an_inline_file_needs_no_server(ledger: Ledger, part: Path, tmp_path: Path) -> None:
    push(ledger, part, is_inline=True)
    assert documents(ledger)[0].artefact.inline_bytes() == part.read_bytes()
    large = tmp_path / "large.gcode"
    large.write_bytes(bytes(129 * 1024))
    with pytest.raises(UsageError) as caught:
        push(ledger, part, large, is_inline=True)
    assert caught.value.code == "too_large"
    assert len(documents(ledger)) == 1, "all or none"


def test_without_a_place_for_files_nothing_is_ordered(tmp_path: Path, part: Path) -> None:
    fresh = Ledger(tmp_path / "fresh.db")
    with pytest.raises(UsageError) as caught:
        push(fresh, part)
    assert caught.value.code == "no_files_url"
    assert not orders.jobs(fresh.reading)
    fresh.close()


def test_a_signed_job_is_accepted_by_a_unit_that_trusts_the_key(ledger: Ledger, part: Path) -> None:
    push(ledger, part, is_signed=True)
    trusted = TrustedKeys({pushing.key_id(ledger): public_key(pushing.signing_key(ledger))})
    assert Verifier(trusted, UNIT, is_required=True).job(payloads(ledger)[0]).unit == UNIT
    command = Command(v=1, cmd_id="k1", command="pause", unit=UNIT, expires=NOW)
    pushing.order_command(ledger, command, UNIT, is_signed=True)
    (row,) = ledger.reading.execute("SELECT payload FROM commands").fetchall()
    assert Verifier(trusted, UNIT, is_required=True).command(row["payload"]).cmd_id == "k1"
    assert ledger.path.with_name("coordinator.key").stat().st_mode & 0o777 == 0o600


def test_an_encrypted_file_opens_for_its_unit_only(ledger: Ledger, part: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        push(ledger, part, is_encrypted=True)
    assert caught.value.code == "no_unit_key"
    with ledger.transaction() as connection:
        units.met(connection, UNIT, NOW)
        state = json.dumps({"public_key": sealed_files.public_key(PRIVATE)})
        connection.execute("UPDATE units SET state = ?", (state,))
    push(ledger, part, is_encrypted=True)
    artefact = documents(ledger)[0].artefact
    assert artefact.encryption is not None
    assert artefact.encryption.scheme == sealed_files.SCHEME
    assert artefact.url is not None
    body = ledger.files_dir / artefact.url.rpartition("/")[2]
    assert part.read_bytes() not in body.read_bytes()
    key = sealed_files.open_key(artefact.encryption.sealed_key, PRIVATE)
    sealed_files.open_file(body, tmp_path / "plain", key, artefact.size, artefact.sha256)
    assert (tmp_path / "plain").read_bytes() == part.read_bytes()


def test_files_are_found_in_folders(tmp_path: Path) -> None:
    for name in ("b.stl", "a.GCODE", "notes.txt", "c.3mf"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deeper").mkdir()
    assert [path.name for path in pushing.find_files([tmp_path])] == ["a.GCODE", "b.stl", "c.3mf"]
    with pytest.raises(NotFoundError):
        pushing.find_files([tmp_path / "deeper"])
    with pytest.raises(NotFoundError):
        pushing.find_files([tmp_path / "missing.stl"])
    with pytest.raises(UsageError):
        pushing.find_files([tmp_path / "notes.txt"])


@pytest.mark.parametrize(
    "wishes",
    [
        {"copies": 0},
        {"require": {"nozzle_mm": "wide"}},
        {"limits": {"max_bed_c": -1}},
        {"expires_ms": 5, "not_before_ms": 9},
    ],
)
def test_wrong_wishes_are_named_and_nothing_is_ordered(
    ledger: Ledger, part: Path, wishes: dict[str, Any]
) -> None:
    with pytest.raises(FabunitError) as caught:
        push(ledger, part, **wishes)
    assert caught.value.exit_code == 2
    assert not orders.jobs(ledger.reading)


def test_a_unit_id_must_be_one(ledger: Ledger, part: Path) -> None:
    with pytest.raises(UsageError):
        push(ledger, part, unit_ids=("unit/+/#",))


def test_sealing_streams(tmp_path: Path) -> None:
    target = io.BytesIO()
    sealed_files.seal_file(io.BytesIO(bytes(200_000)), target, bytes(32))
    with PartFile(tmp_path / "x.part", sealed_files.encrypted_size_bytes(200_000), 0) as kept:
        kept.append(target.getvalue())
        assert kept.missing_bytes == 0
    assert base64.b64encode(bytes(200)) not in target.getvalue()
