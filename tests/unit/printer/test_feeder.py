"""The feeder: from a prepared file to framed chunks."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.artefact import Prepared
from agent.gcode.modal import ModalState
from agent.printer.feeder import EndOfFile, Fed, Feeder, FeedFailed, modal_at, seek_line
from agent.printer.framing import frame
from tests.unit.printer.prepared_files import prepared_of, write

LINES = [
    b"G28",
    b"M104 S205",
    *(b"G1 X%d.%03d E0.1 F1800" % (i, i % 7) for i in range(2500)),
    b"M109 S205",
    b"M84",
]


class Fed2:
    """Everything a feeder hands over."""

    def __init__(self, path: Path, prepared: Prepared, at: int = 0, base: int | None = 500) -> None:
        self.chunks: list[Fed] = []
        self.end: EndOfFile | FeedFailed | None = None
        woken = threading.Event()
        feeder = Feeder(path, prepared, base, at, woken.set)
        feeder.start()
        while self.end is None:
            item = feeder.take()
            if item is None:
                assert woken.wait(10), "the feeder stands still"
                woken.clear()
            elif isinstance(item, Fed):
                self.chunks.append(item)
            else:
                self.end = item

    def lines(self) -> list[bytes]:
        return [
            fed.chunk.data[fed.chunk.ends[i] : fed.chunk.ends[i + 1]]
            for fed in self.chunks
            for i in range(fed.chunk.count)
        ]


def test_the_whole_file_framed_with_its_digest(tmp_path: Path) -> None:
    path, prepared = write(tmp_path / "part", LINES), prepared_of(LINES)
    fed = Fed2(path, prepared)
    assert fed.lines() == [frame(501 + i, line) for i, line in enumerate(LINES)]
    assert fed.end == EndOfFile(len(LINES), prepared.sha256)
    assert prepared.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    barriers = [fed.chunk.data for fed in fed.chunks if fed.chunk.barrier]
    assert barriers == [frame(501, b"G28"), frame(501 + 2502, b"M109 S205")]


def test_chunks_know_their_place_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "part", LINES)
    data = path.read_bytes()
    expected = 1
    for fed in Fed2(path, prepared_of(LINES)).chunks:
        assert fed.chunk.first == expected
        assert data[fed.offset :].startswith(LINES[expected - 1] + b"\n")
        expected += fed.chunk.count


def test_a_firmware_without_numbers_gets_plain_lines(tmp_path: Path) -> None:
    fed = Fed2(write(tmp_path / "part", LINES[:5]), prepared_of(LINES[:5]), base=None)
    assert fed.lines() == [line + b"\n" for line in LINES[:5]]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 300), step=st.sampled_from([1, 7, 100, 1000]), grid=st.booleans())
def test_a_resume_begins_at_any_line(tmp_path: Path, at: int, step: int, grid: bool) -> None:
    lines = LINES[:300]
    prepared = prepared_of(lines, step)
    if not grid:
        prepared = replace(prepared, offsets=())
    fed = Fed2(write(tmp_path / "part", lines), prepared, at)
    assert fed.lines() == [frame(501 + i, lines[i]) for i in range(at, 300)]
    assert fed.end == EndOfFile(300, prepared.sha256 if at == 0 else None)


def test_a_resume_behind_the_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "part", LINES[:30])
    with path.open("rb") as file, pytest.raises(ValueError, match="has 30 lines"):
        seek_line(file, prepared_of(LINES[:30]), 31)
    assert isinstance(Fed2(path, prepared_of(LINES[:30]), at=31).end, FeedFailed)


@pytest.mark.parametrize("change", ["cut", "cut in a line", "longer", "gone", "a folder"])
def test_a_file_that_is_not_what_was_checked_is_not_fed(tmp_path: Path, change: str) -> None:
    path, prepared = write(tmp_path / "part", LINES), prepared_of(LINES)
    data = path.read_bytes()
    if change == "cut":
        write(path, LINES[:-1])
    elif change == "cut in a line":
        path.write_bytes(data[:-2])
    elif change == "longer":
        path.write_bytes(data + b"G1 X999\n")
    else:
        path.unlink()
        if change == "a folder":
            path.mkdir()
    fed = Fed2(path, prepared)
    assert fed.chunks == []
    assert isinstance(fed.end, FeedFailed)
    assert "part" in fed.end.detail


def test_a_file_of_the_right_size_and_the_wrong_number_of_lines_fails(tmp_path: Path) -> None:
    prepared = prepared_of(LINES)
    path = tmp_path / "part"
    path.write_bytes(b"".join(line + b"\n" for line in LINES).replace(b"X1.001 ", b"X1.001\n"))
    assert isinstance(Fed2(path, prepared).end, FeedFailed)
    path.write_bytes(b"".join(line + b"\n" for line in LINES)[:-1] + b" ")
    end = Fed2(path, prepared).end
    assert isinstance(end, FeedFailed)
    assert "middle of a line" in end.detail


def test_a_changed_file_is_known_by_its_digest(tmp_path: Path) -> None:
    path, prepared = write(tmp_path / "part", LINES), prepared_of(LINES)
    path.write_bytes(path.read_bytes().replace(b"M104 S205", b"M104 S295"))
    end = Fed2(path, prepared).end
    assert isinstance(end, EndOfFile)
    assert end.sha256 != prepared.sha256


def test_it_reads_ahead_only_so_far_and_ends_when_closed(tmp_path: Path) -> None:
    lines = [b"G1 X%d" % i for i in range(20_000)]
    woken = threading.Semaphore(0)
    feeder = Feeder(write(tmp_path / "part", lines), prepared_of(lines, 1000), 0, 0, woken.release)
    feeder.start()
    for _ in range(16):
        assert woken.acquire(timeout=10)
    assert not woken.acquire(blocking=False)
    feeder.close()
    feeder._thread.join(10)
    assert not feeder._thread.is_alive()


def test_modes_at_a_line(tmp_path: Path) -> None:
    lines = [
        b"G90",
        b"M83",
        b"M104 S205",
        b"M106 S127",
        b"G1 X1 F1800",
        b"G91",
        b"M107",
        b"T1",
        *LINES[2:700],
    ]
    path = write(tmp_path / "part", lines)
    start = ModalState.start("marlin")
    assert modal_at(path, 0, start) == start
    five = modal_at(path, 5, start)
    assert (five.absolute_xyz, five.absolute_e, five.feedrate, five.fan) == (True, False, 1800.0, 127.0)
    assert five.targets == {"T0": 205.0}
    assert not modal_at(path, 6, start).absolute_xyz
    assert modal_at(path, 7, start).fan == 0.0
    assert modal_at(path, len(lines), start).tool == 1
    assert modal_at(path, 10**9, start) == modal_at(path, len(lines), start)
