"""The ring of wire traffic: bounded, line by line on reading, safe between threads."""

from __future__ import annotations

import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.printer.transcript import Transcript, TranscriptEntry


def texts(entries: list[TranscriptEntry]) -> list[str]:
    return [f"{entry.direction}{entry.text}" for entry in entries]


def test_lines_of_both_directions_and_remarks() -> None:
    transcript = Transcript()
    transcript.sent(b"N1 G28*18\nN2 G1 X1*", 1.0)
    transcript.received(b"ok\r\nT:2", 2.0)
    transcript.note("probing", 2.5)
    transcript.sent(b"4\n", 3.0)
    transcript.received(b"1 /0\n", 4.0)
    assert transcript.tail(10) == [
        TranscriptEntry(1.0, ">", "N1 G28*18"),
        TranscriptEntry(2.0, "<", "ok"),
        TranscriptEntry(2.5, "!", "probing"),
        TranscriptEntry(1.0, ">", "N2 G1 X1*4"),
        TranscriptEntry(2.0, "<", "T:21 /0"),
    ]
    assert list(transcript.dump())[:2] == ["1.000 > N1 G28*18", "2.000 < ok"]


def test_tail_gives_the_last_lines_only() -> None:
    transcript = Transcript()
    for number in range(30):
        transcript.sent(b"line %d\n" % number, float(number))
    assert texts(transcript.tail(2)) == [">line 28", ">line 29"]
    assert transcript.tail(0) == []
    assert transcript.tail(-1) == []
    assert len(transcript.tail(1000)) == 30


def test_tail_of_a_long_history_is_the_same_as_reading_everything() -> None:
    transcript = Transcript()
    for number in range(20_000):
        transcript.sent(b"N%d G1 X%d\n" % (number, number), float(number))
        transcript.received(b"o" if number % 2 else b"k\nok\no", float(number))
        if number % 2:
            transcript.received(b"k\n", float(number))
    everything = transcript.since(Transcript().end())[0]
    assert transcript.tail(500) == everything[-500:]


def test_since_gives_each_line_once() -> None:
    transcript = Transcript()
    cursor = transcript.end()
    transcript.received(b"ok\nhal", 1.0)
    first, cursor = transcript.since(cursor)
    transcript.sent(b"M105\n", 2.0)
    transcript.received(b"f\n", 3.0)
    second, cursor = transcript.since(cursor)
    third, _ = transcript.since(cursor)
    assert texts(first) == ["<ok"]
    assert texts(second) == [">M105", "<half"]
    assert second[1].t_s == 1.0
    assert third == []


def test_the_end_is_behind_everything() -> None:
    transcript = Transcript()
    transcript.received(b"old\n", 1.0)
    entries, _ = transcript.since(transcript.end())
    assert entries == []


def test_memory_is_bounded_and_a_slow_reader_is_told() -> None:
    transcript = Transcript(limit_bytes=256 * 1024)
    transcript.received(b"first\n", 0.0)
    _, cursor = transcript.since(transcript.end())
    for number in range(40_000):
        transcript.received(b"ok N%d P15 B3\n" % number, float(number))
    held = sum(sys.getsizeof(page) for page in (*transcript._pages, transcript._page))
    assert held <= 300 * 1024
    entries, _ = transcript.since(cursor)
    assert entries[0].direction == "!"
    assert "gone" in entries[0].text
    assert entries[-1].text == "ok N39999 P15 B3"
    assert all(entry.text.startswith("ok N") for entry in entries[1:])


def test_blocks_larger_than_a_record_are_kept_whole() -> None:
    transcript = Transcript()
    transcript.received(b"x" * 100_000 + b"\nok\n", 1.0)
    transcript.received(b"y" * 3000 + b"\n", 2.0)
    entries = transcript.tail(5)
    assert [entry.text for entry in entries[1:]] == ["ok", "y" * 3000]
    assert set(entries[0].text) == {"x"}


def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    transcript = Transcript()
    transcript.received(b"\xff\x00\x1bok\n\n", 1.0)
    assert [entry.text for entry in transcript.tail(2)] == ["\\\\xff\\x00\\x1bok", ""]
    transcript.note("two\nlines é", 2.0)
    assert transcript.tail(1)[0].text == "two lines é"


@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=20)), max_size=40),
    st.integers(0, 40),
)
def test_reading_in_two_steps_is_reading_once(blocks: list[tuple[bool, bytes]], split: int) -> None:
    transcript = Transcript()
    start = transcript.end()
    first: list[TranscriptEntry] = []
    cursor = start
    for number, (out, data) in enumerate(blocks):
        if number == split:
            first, cursor = transcript.since(cursor)
        (transcript.sent if out else transcript.received)(data, float(number))
    rest, _ = transcript.since(cursor)
    assert first + rest == transcript.since(start)[0]
    received = b"".join(data for out, data in blocks if not out)
    assert sum(entry.direction == "<" for entry in first + rest) == received.count(b"\n")


class Reader(threading.Thread):
    """Follows the received lines, each of which holds a rising number."""

    def __init__(self, transcript: Transcript, done: threading.Event) -> None:
        super().__init__()
        self.transcript, self.done = transcript, done
        self.last = -1
        self.failures: list[str] = []

    def run(self) -> None:
        cursor = Transcript().end()
        finished = False
        while not finished:
            finished = self.done.is_set()
            entries, cursor = self.transcript.since(cursor)
            for number in (int(entry.text) for entry in entries if entry.direction == "<"):
                if number <= self.last:
                    self.failures.append(f"{number} after {self.last}")
                self.last = number


def test_readers_in_other_threads_see_whole_lines_in_order() -> None:
    transcript = Transcript(limit_bytes=512 * 1024)
    done = threading.Event()
    readers = [Reader(transcript, done) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(20_000):
        transcript.received(b"%d\n" % number, float(number))
    done.set()
    for reader in readers:
        reader.join(30)
        assert not reader.is_alive()
        assert (reader.last, reader.failures) == (19_999, [])


@pytest.mark.parametrize("limit", [0, 1, 65536])
def test_a_tiny_limit_still_keeps_the_latest(limit: int) -> None:
    transcript = Transcript(limit_bytes=limit)
    for number in range(10_000):
        transcript.sent(b"line %d\n" % number, 0.0)
    assert transcript.tail(1)[0].text == "line 9999"


@pytest.mark.parametrize("sent", [b"", b"N1 G28*18\n", b"x" * 70_000 + b"\n"])
def test_an_exchange_is_what_was_received_and_what_was_sent(sent: bytes) -> None:
    at_once, apart = Transcript(), Transcript()
    at_once.exchanged(b"ok\n", sent, 1.0)
    apart.received(b"ok\n", 1.0)
    if sent:
        apart.sent(sent, 1.0)
    assert at_once.tail(5) == apart.tail(5)
    assert at_once.tail(5)[0].text == "ok"
