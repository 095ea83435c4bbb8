"""The sliding window over framed lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.printer.framing import build_chunk
from agent.printer.window import SendWindow, WindowSize


def window(count: int = 20, lines: int = 4, size: int = 1000, keep: int = 0) -> SendWindow:
    made = SendWindow(WindowSize(lines, size), keep)
    made.push(build_chunk(1, None, [b"G1 X%d" % i for i in range(1, count + 1)]))
    return made


def taken(made: SendWindow) -> list[int]:
    return [int(line[4:]) for line in made.take().split(b"\n") if line]


def test_lines_go_out_once_and_in_order() -> None:
    made = window(6)
    assert taken(made) == [1, 2, 3, 4]
    assert taken(made) == []
    assert made.acknowledge(3) == 0
    assert taken(made) == [5, 6]
    assert (made.sent, made.acked, made.in_flight, made.backlog, made.last) == (6, 3, 3, 0, 6)


def test_spare_oks_are_counted() -> None:
    made = window()
    taken(made)
    assert made.acknowledge(6) == 2
    assert made.acked == 4


def test_going_back_to_a_refused_line() -> None:
    made = window()
    taken(made)
    made.resume_after(1)
    assert (made.sent, made.acked, made.verified, made.furthest) == (1, 1, 1, 4)
    made.settled()
    assert taken(made) == [2, 3, 4, 5]


def test_verified_lines_are_forgotten_and_the_others_kept() -> None:
    made = SendWindow(WindowSize(4, 1000), keep=0)
    for first in range(1, 21, 5):
        made.push(build_chunk(first, None, [b"G1 X%d" % i for i in range(first, first + 5)]))
    for _ in range(4):
        made.acknowledge(len(taken(made)))
    made.resume_after(11)
    assert not made.reaches_back_to(9)
    made.resume_after(11)
    assert taken(made) == [12, 13, 14, 15]


def test_kept_lines_can_be_sent_again() -> None:
    made = window(20, keep=8)
    for _ in range(4):
        made.acknowledge(len(taken(made)))
    made.resume_after(16)
    assert made.reaches_back_to(8)
    assert not made.reaches_back_to(7)
    made.resume_after(8)
    assert taken(made)[0] == 9


def test_lines_whose_oks_are_missing_take_room() -> None:
    made = window()
    taken(made)
    made.resume_after(3)
    assert made.unsettled == 3
    assert taken(made) == [4]
    made.acknowledge(1)
    assert taken(made) == [5]
    made.acknowledge(4)
    assert made.unsettled == 0
    assert taken(made) == [6, 7, 8, 9]


def test_oks_heard_meanwhile_leave_nothing_unsettled() -> None:
    made = window()
    taken(made)
    made.resume_after(3, oks=3)
    assert made.unsettled == 0


def test_a_barrier_goes_alone() -> None:
    made = SendWindow(WindowSize(4, 1000))
    made.push(build_chunk(1, None, [b"G1 X1"]))
    made.push(build_chunk(2, None, [b"G28"], barrier=True))
    made.push(build_chunk(3, None, [b"G1 X3"]))
    assert made.take() == b"G1 X1\n"
    assert made.barrier_is_next
    made.acknowledge(1)
    assert made.take() == b"G28\n"
    assert made.take() == b""
    current = made.current()
    assert current is not None
    assert current.barrier
    made.acknowledge(1)
    assert made.take() == b"G1 X3\n"


def test_it_knows_when_the_open_line_asks_for_temperatures() -> None:
    made = SendWindow(WindowSize(1, 100))
    made.push(build_chunk(1, None, [b"M105", b"G1 X1"]))
    assert not made.is_asking_temperatures()
    made.take()
    assert made.is_asking_temperatures()
    made.acknowledge(1)
    made.take()
    assert not made.is_asking_temperatures()


def test_chunks_must_follow_each_other() -> None:
    made = window(5)
    with pytest.raises(ValueError, match="expected 6"):
        made.push(build_chunk(7, None, [b"G1"]))


def test_a_new_session_begins_anywhere() -> None:
    made = window(5)
    taken(made)
    made.start_at(100)
    assert (made.sent, made.acked, made.verified, made.furthest, made.last, made.backlog) == (100,) * 5 + (0,)
    assert made.take() == b""


@given(
    st.integers(1, 16),
    st.integers(1, 300),
    st.lists(st.tuples(st.sampled_from(["take", "ok", "back"]), st.integers(0, 6)), max_size=60),
)
def test_never_more_than_the_window(lines: int, size: int, actions: list[tuple[str, int]]) -> None:
    made = SendWindow(WindowSize(lines, size), keep=0)
    texts = [b"G1 X%d " % i + b"x" * (i * 7 % 40) for i in range(1, 201)]
    for first in range(0, 200, 10):
        made.push(build_chunk(first + 1, None, texts[first : first + 10]))
    for action, amount in actions:
        before = made.sent
        if action == "take":
            data = made.take()
            assert data == b"".join(text + b"\n" for text in texts[before : made.sent])
            flying = texts[made.acked : made.sent]
            assert len(flying) + made.unsettled <= max(lines, made.unsettled + 1)
            assert len(flying) <= 1 or sum(map(len, flying)) + len(flying) <= size
        elif action == "ok":
            made.acknowledge(amount)
        else:
            made.resume_after(max(made.verified, made.sent - amount))
        assert made.verified <= made.acked <= made.sent <= made.furthest <= made.last
