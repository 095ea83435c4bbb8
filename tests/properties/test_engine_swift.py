"""The engine's short way does what the long one does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.printer.dialects import MARLIN_2
from agent.printer.engine import LineEngine
from agent.printer.framing import build_chunk
from agent.printer.window import WindowSize

BASE = 20_000


def engine(lines: list[bytes], size: WindowSize, run: int) -> LineEngine:
    made = LineEngine(MARLIN_2, size)
    made.adopt(BASE, 0, 0.0)
    made.take_events()
    for at in range(0, len(lines), run):
        made.push(build_chunk(at + 1, BASE, lines[at : at + run], barrier=run == 1 and at % 5 == 4))
    return made


def state(made: LineEngine) -> tuple[object, ...]:
    window = made.window
    counts = (window.sent, window.acked, window.furthest, window.verified, window.unsettled)
    return (*counts, window.size, made.mode, made.pace.latency.total, made.pace.check_at, made.take_events())


@settings(max_examples=300, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    window=st.integers(1, 8),
    size=st.integers(20, 300),
    run=st.sampled_from([1, 3, 7, 64]),
    heard=st.lists(
        st.one_of(
            st.integers(1, 4).map(lambda count: b"ok\n" * count),
            st.sampled_from([b"o", b"k\n", b"ok T:20.0 /0.0\n", b"echo:busy: processing\n", b"\xff\n"]),
        ),
        max_size=60,
    ),
    suspects=st.sets(st.integers(0, 59), max_size=3),
)
def test_the_short_way_and_the_long_way_agree(
    *, lengths: list[int], window: int, size: int, run: int, heard: list[bytes], suspects: set[int]
) -> None:
    lines = [b"G1 X" + b"1" * length for length in lengths]
    short, long = (engine(lines, WindowSize(window, size), run) for _ in range(2))
    now = 1.0
    assert short.outgoing(now) == long.outgoing(now)
    for step, data in enumerate(heard):
        now += 0.001
        if step in suspects:
            for one in (short, long):
                one.pace.suspect(one.window.sent - 15)
        said = short.swift(data, now)
        if said is None:
            short.feed(data, now)
            said = short.outgoing(now)
        long.feed(data, now)
        assert said == long.outgoing(now)
        assert state(short) == state(long)


def test_the_short_way_is_the_usual_one() -> None:
    made = engine([b"G1 X%d" % index for index in range(100)], WindowSize(4, 120), 64)
    made.outgoing(1.0)
    taken = [made.swift(b"ok\n", 1.0 + index / 1000) for index in range(40)]
    assert None not in taken
    assert taken[0] is not None
    assert taken[0].startswith(b"N20005 ")
