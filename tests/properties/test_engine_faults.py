"""Whatever the wire does: the executed job lines are the file in order, or the engine says that it failed."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.printer.dialects import MARLIN_2, Dialect
from agent.printer.engine import LineEngine
from agent.printer.engine_events import Drained, Failed, SessionOpened, StreamDone, Verdict
from agent.printer.framing import build_chunk
from agent.printer.window import WindowSize
from tests.tiny_marlin import Conversation, Faults, TinyMarlin

SMALL = st.sampled_from([0.0, 0.0, 0.01, 0.05, 0.2])
FAULTS = st.builds(
    Faults,
    flip_in=SMALL,
    flip_out=SMALL,
    drop_ok=SMALL,
    double_ok=SMALL,
    drop_bytes=st.sampled_from([0.0, 0.02]),
)
LATENCIES = st.sampled_from(
    [(0.0, 0.0), (0.001, 0.001), (0.0005, 0.02), (0.01, 0.3), (0.7, 0.9), (0.001, 2.5)]
)


def commands(count: int, rng: random.Random) -> list[bytes]:
    return [
        b"G1 X%d.%03d Y%d E0.%04d" % (i, rng.randrange(1000), rng.randrange(300), i) for i in range(count)
    ]


def talk(
    board: TinyMarlin,
    size: WindowSize,
    *,
    latency: tuple[float, float] = (0.002, 0.002),
    count: int = 120,
    dialect: Dialect = MARLIN_2,
) -> tuple[list[bytes], LineEngine, object]:
    """Print `count` lines; returns them, the engine, and how it ended."""
    rng = board.rng
    engine = LineEngine(dialect, size)
    window = engine.window

    def cut(said: bytes) -> list[bytes]:
        if rng.random() < 0.5:
            return [said]
        pieces = []
        while said:
            length = rng.randrange(1, 12)
            pieces.append(said[:length])
            said = said[length:]
        return pieces

    def watch() -> None:
        assert window.in_flight <= max(1, size.lines)
        flying = framed[window.acked : window.sent]
        assert len(flying) <= 1 or sum(map(len, flying)) <= size.bytes

    conversation = Conversation(engine, board, lambda: rng.uniform(*latency), cut, watch)
    base = rng.randrange(10_000, 60_000)
    lines = commands(count, rng)
    chunks = [build_chunk(at + 1, base, lines[at : at + 16]) for at in range(0, count, 16)]
    framed = [c.data[c.ends[i] : c.ends[i + 1]] for c in chunks for i in range(c.count)]
    engine.open(base, 0, conversation.now)
    opened = conversation.run_until(SessionOpened, Failed)
    if isinstance(opened, Failed):
        return lines, engine, opened
    for chunk in chunks:
        engine.push(chunk)
    engine.finish()
    return lines, engine, conversation.run_until(StreamDone, Failed)


def executed(board: TinyMarlin) -> list[bytes]:
    return [text.encode("latin-1") for number, text in board.executed if number is not None]


def assert_exact_or_failed(board: TinyMarlin, lines: list[bytes], engine: LineEngine, end: object) -> None:
    done = executed(board)
    assert done == lines[: len(done)]
    if isinstance(end, StreamDone):
        assert done == lines
        assert end.line == len(lines)
        assert end.counter == engine.base + len(lines) == board.last
    else:
        assert isinstance(end, Failed)
        assert end.line <= len(done)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    faults=FAULTS,
    lines=st.integers(1, 16),
    size=st.sampled_from([40, 120, 500, 2000]),
    latency=LATENCIES,
    board=st.fixed_dictionaries(
        {"resend_ok": st.booleans(), "advanced_ok": st.booleans(), "silent_duplicates": st.booleans()}
    ),
)
def test_any_schedule_of_faults_ends_exact_or_failed(
    *,
    seed: int,
    faults: Faults,
    lines: int,
    size: int,
    latency: tuple[float, float],
    board: dict[str, bool],
) -> None:
    firmware = TinyMarlin(random.Random(seed), faults, **board)  # type: ignore[arg-type]
    end = talk(firmware, WindowSize(lines, size), latency=latency)
    assert_exact_or_failed(firmware, *end)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    faults=st.builds(
        Faults,
        flip_in=st.floats(0, 0.05),
        flip_out=st.floats(0, 0.05),
        drop_ok=st.floats(0, 0.05),
        double_ok=st.floats(0, 0.05),
        drop_bytes=st.floats(0, 0.02),
    ),
    lines=st.integers(1, 16),
)
def test_bearable_noise_never_fails_a_print(seed: int, faults: Faults, lines: int) -> None:
    board = TinyMarlin(random.Random(seed), faults)
    printed, _, end = talk(board, WindowSize(lines, 120 * lines))
    assert isinstance(end, StreamDone), end
    assert executed(board) == printed


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), faults=FAULTS, after=st.integers(0, 200), greets=st.booleans())
def test_a_board_reset_at_any_moment_never_continues(
    seed: int, faults: Faults, after: int, greets: bool
) -> None:
    rng = random.Random(seed)
    board, engine = TinyMarlin(rng, faults), LineEngine(MARLIN_2, WindowSize(4, 120))
    conversation = Conversation(engine, board)
    lines = commands(150, rng)
    engine.open(20_000, 0, conversation.now)
    if isinstance(conversation.run_until(SessionOpened, Failed), Failed):
        return
    engine.push(build_chunk(1, 20_000, lines))
    engine.finish()
    for _ in range(after):
        conversation.step()
    if any(isinstance(event, StreamDone) for event in conversation.events):
        return
    before = executed(board)
    board.reset()
    if greets:
        conversation.to_engine.append((conversation.now, b"start\n"))
    end = conversation.run_until(StreamDone, Failed)
    assert executed(board) == before
    assert isinstance(end, Failed) or before == lines
    if isinstance(end, Failed):
        assert end.verdict in (Verdict.RESET, Verdict.UNCERTAIN, Verdict.RESEND_LIMIT)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), after=st.integers(0, 150), faults=FAULTS)
def test_a_held_stream_has_executed_exactly_the_lines_it_reports(
    seed: int, after: int, faults: Faults
) -> None:
    rng = random.Random(seed)
    board, engine = TinyMarlin(rng, faults), LineEngine(MARLIN_2, WindowSize(4, 120))
    conversation = Conversation(engine, board)
    lines = commands(100, rng)
    engine.open(30_000, 0, conversation.now)
    if isinstance(conversation.run_until(SessionOpened, Failed), Failed):
        return
    engine.push(build_chunk(1, 30_000, lines))
    for _ in range(after):
        conversation.step()
    engine.hold()
    end = conversation.run_until(Drained, Failed)
    if isinstance(end, Drained):
        assert executed(board) == lines[: end.line]
        assert board.last == 30_000 + end.line


def test_a_firmware_that_wraps_its_numbers_gets_every_line() -> None:
    """The session crosses 65,536; the firmware counts on, the engine compares modulo."""
    wrapping = replace(MARLIN_2, line_modulus=65536)
    board = TinyMarlin(random.Random(5), Faults(flip_in=0.02, flip_out=0.02))
    printed, engine, end = talk(board, WindowSize(4, 120), dialect=wrapping)
    assert isinstance(end, StreamDone)
    assert executed(board) == printed
    assert engine.resends > 0
