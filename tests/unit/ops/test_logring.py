"""The ring and the bounded file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from agent.ops.logring import LogRing, RotatingFile

if TYPE_CHECKING:
    from pathlib import Path


@given(
    capacity=st.integers(1, 20), count=st.integers(0, 60), asked=st.integers(-1, 70), seq=st.integers(0, 70)
)
def test_the_ring_is_the_end_of_the_list(capacity: int, count: int, asked: int, seq: int) -> None:
    ring = LogRing(capacity)
    for number in range(1, count + 1):
        ring.append({"event": number})
    kept = list(range(1, count + 1))[-capacity:]
    assert [entry["seq"] for entry in ring.tail(asked)] == (kept[-asked:] if asked > 0 else [])
    assert [entry["event"] for entry in ring.after(seq, 5)] == [number for number in kept if number > seq][:5]


def test_threads_do_not_lose_entries() -> None:
    ring = LogRing(4000)

    def write() -> None:
        for _ in range(500):
            ring.append({})

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry["seq"] for entry in ring.tail(4000)] == list(range(1, 4001))


def test_the_file_is_bounded_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "fabunit.log"
    file = RotatingFile(path, limit_bytes=100, kept=3)
    for number in range(60):
        file.write(f"line {number:03}")
    names = sorted(entry.name for entry in path.parent.iterdir())
    assert names == ["fabunit.log", "fabunit.log.1", "fabunit.log.2"]
    text = "".join((path.parent / name).read_text() for name in reversed(names))
    lines = text.splitlines()
    assert lines == [f"line {number:03}" for number in range(60 - len(lines), 60)]
    assert all((path.parent / name).stat().st_size <= 100 for name in names)


def test_a_single_file_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "f.log"
    file = RotatingFile(path, limit_bytes=20, kept=1)
    for _ in range(5):
        file.write("0123456789")
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.log"]
    assert path.read_text() == "0123456789\n"


def test_a_disk_that_refuses_is_noted_and_forgiven(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "f.log"
    path.mkdir(parents=True)
    file = RotatingFile(path)
    file.write("lost")
    assert "directory" in file.failure
    path.rmdir()
    file.write("kept")
    assert (file.failure, path.read_text()) == ("", "kept\n")


def test_broken_text_is_written_anyway(tmp_path: Path) -> None:
    path = tmp_path / "f.log"
    RotatingFile(path).write("\ud800 x")
    assert path.read_text() == "? x\n"
