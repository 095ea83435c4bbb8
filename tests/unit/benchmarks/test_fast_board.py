"""The benchmarks' printer answers as Marlin does, and counts what it is there to count."""

from __future__ import annotations

import os
import shutil
import tty
import zlib
from collections.abc import Iterator

import pytest

from benchmarks.bare_loop import with_checksum
from benchmarks.board import FastBoard

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler builds the board")


class Talk:
    """One open port."""

    def __init__(self, port: str) -> None:
        self.fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd)

    def ask(self, data: bytes, lines: int) -> list[bytes]:
        """Write, and read so many lines."""
        os.write(self.fd, data)
        answer = b""
        while answer.count(b"\n") < lines:
            answer += os.read(self.fd, 4096)
        return answer.splitlines()


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path_factory.getbasetemp() / "board-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))


@pytest.fixture
def board() -> Iterator[FastBoard]:
    with FastBoard(ring=128, slots=4) as board:
        yield board


def numbered(*commands: bytes, first: int = 1) -> bytes:
    return b"".join(with_checksum(first + index, command) for index, command in enumerate(commands))


def test_numbers_and_checksums_are_checked_in_marlins_order(board: FastBoard) -> None:
    talk = Talk(board.port)
    assert talk.ask(with_checksum(0, b"M110 N0"), 1) == [b"ok"]
    assert talk.ask(numbered(b"G28"), 1) == [b"ok"]
    wrong_number = b"Error:Line Number is not Last Line Number+1, Last Line: 1"
    assert talk.ask(b"N9 M105*1\n", 3) == [wrong_number, b"Resend: 2", b"ok"]
    assert talk.ask(b"N2 M105*1\n", 3) == [b"Error:checksum mismatch, Last Line: 1", b"Resend: 2", b"ok"]
    assert talk.ask(b"N2 M105\n", 3)[0] == b"Error:No Checksum with line number, Last Line: 1"
    duplicate_then_next = with_checksum(1, b"G28") + with_checksum(2, b"M114")
    assert talk.ask(duplicate_then_next, 2)[1] == b"ok"  # the duplicate is dropped in silence


def test_a_job_is_counted_from_its_first_to_its_last_move(board: FastBoard) -> None:
    talk = Talk(board.port)
    talk.ask(with_checksum(0, b"M110 N0"), 1)
    board.expect(3, watch=os.getpid())
    for number, command in enumerate((b"G28", b"G1 X1", b"M105", b"G0 X2", b"G1 X3"), 1):
        talk.ask(with_checksum(number, command), 1)
    figures = board.done(10)
    assert (figures.moves, figures.refused, figures.lost, figures.other_lines) == (3, 0, 0, 1)
    assert figures.crc == zlib.crc32(b"G1 X1\nG0 X2\nG1 X3\n")
    assert figures.bytes == len(numbered(b"M105", b"G0 X2", b"G1 X3", first=3))
    assert figures.gaps == 3
    assert figures.cpu_s > 0


def test_what_does_not_fit_into_ring_and_slots_is_lost() -> None:
    with FastBoard(ring=128, slots=4, planner=1, move_ms=10_000) as board:
        talk = Talk(board.port)
        talk.ask(with_checksum(0, b"M110 N0"), 1)
        board.expect(100, watch=os.getpid())
        move = b"G1 X100.000 Y100.000 F3000"
        os.write(talk.fd, numbered(*[move] * 20))
        while (figures := board.now()).lost == 0:
            pass
        taken = 1 + 4 + 128 // len(with_checksum(10, move))  # executed, slots, ring
        assert figures.lost == 20 - taken


def test_a_planner_that_runs_dry_is_counted() -> None:
    with FastBoard(move_ms=1) as board:
        talk = Talk(board.port)
        talk.ask(with_checksum(0, b"M110 N0"), 1)
        board.expect(3, watch=os.getpid())
        for number in (1, 2, 3):
            talk.ask(with_checksum(number, b"G1 X1"), 1)
            talk.ask(b"M400\n", 1)  # answered when the planner is empty
        figures = board.done(10)
    assert figures.starved == 2
    assert figures.starved_ms > 0


def test_a_move_after_the_port_was_opened_again_is_told(board: FastBoard) -> None:
    first = Talk(board.port)
    first.ask(with_checksum(0, b"M110 N0"), 1)
    os.close(first.fd)
    second = Talk(board.port)
    while True:  # the board has to notice that nobody held the port
        second.ask(with_checksum(0, b"M110 N0"), 1)
        second.ask(numbered(b"G1 X1"), 1)
        try:
            assert board.reopened(0.2) > 0
        except TimeoutError:
            os.close(second.fd)
            second = Talk(board.port)
            continue
        break


def test_a_paced_wire_takes_its_time() -> None:
    with FastBoard(baud=115_200) as board:
        talk = Talk(board.port)
        talk.ask(with_checksum(0, b"M110 N0"), 1)
        board.expect(20, watch=os.getpid())
        os.write(talk.fd, numbered(*[b"G1 X100.000 Y100.000"] * 20))
        figures = board.done(10)
    assert figures.wire_share(115_200) == pytest.approx(1.0, abs=0.001)
    assert figures.lines_per_s < 115_200 / 10 / len(with_checksum(1, b"G1 X100.000 Y100.000")) * 1.01
