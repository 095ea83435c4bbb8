"""Progress and time to go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.artefact import Layer, Prepared
from agent.printer.progress import ProgressMeter
from tests.unit.printer.prepared_files import prepared_of

LINES = [b"G1 X%d" % i for i in range(1000)]
TIMES = tuple(float(k * 6) for k in range(100))  # 0.6 s a line: 600 s in all


def meter(prepared: Prepared) -> ProgressMeter:
    return ProgressMeter(prepared, "p-1", started_at=100.0)


def hour() -> Prepared:
    return prepared_of(LINES, 10, TIMES, 600.0, (Layer(1, 0.2), Layer(500, 0.4), Layer(900, 0.6)))


@given(st.lists(st.integers(0, 1000), max_size=60), st.booleans())
def test_the_fraction_rises_with_the_lines_from_0_to_1(lines: list[int], timed: bool) -> None:
    progress = meter(hour() if timed else prepared_of(LINES))
    before, now = 0.0, 100.0
    for line in sorted(lines):
        now += 1
        at = progress.tick(line, now, moving=True)
        assert before <= at.fraction <= 1.0
        assert at.remaining_s is None or at.remaining_s >= 0
        assert 0 <= at.byte <= at.bytes
        before = at.fraction
    assert progress.tick(0, now, moving=True).fraction == 0.0
    assert progress.tick(1000, now + 1, moving=True).fraction == 1.0


def test_the_estimate_is_believed_at_first() -> None:
    progress = meter(hour())
    assert progress.tick(0, 100.0, moving=True).remaining_s == 600.0
    assert progress.tick(500, 101.0, moving=False).remaining_s == 300.0


def test_a_printer_twice_as_slow_as_estimated_is_found_out() -> None:
    progress = meter(hour())
    now = 100.0
    remaining: float | None = None
    for line in range(501):
        remaining = progress.tick(line, now, moving=True).remaining_s
        now += 1.2
    assert remaining is not None
    assert abs(remaining - 600.0) < 30


def test_pauses_and_heat_up_do_not_count_as_slowness() -> None:
    progress = meter(hour())
    now = 100.0
    for line in range(401):
        progress.tick(line, now, moving=True)
        now += 0.6
    for _ in range(600):
        progress.tick(400, now, moving=False)
        now += 1.0
    at = progress.tick(401, now, moving=True)
    assert at.remaining_s is not None
    assert abs(at.remaining_s - 360) < 8
    assert at.elapsed_s == now - 100.0


def test_long_moves_count_even_if_ticks_see_no_line() -> None:
    progress = meter(hour())
    now = 100.0
    for line in range(0, 400, 10):
        for _ in range(12):
            progress.tick(line, now, moving=True)
            now += 1.0
    at = progress.tick(400, now, moving=True)
    assert at.remaining_s is not None
    assert at.plus_minus_s is not None
    assert abs(at.remaining_s - 720) < 36
    assert 0 < at.plus_minus_s < 72


def test_layers_are_counted_from_their_first_line() -> None:
    progress = meter(hour())
    seen = [
        (at.layer, at.layers, at.z_mm)
        for at in (progress.tick(n, 100.0 + n, moving=True) for n in (0, 1, 499, 500, 1000))
    ]
    assert seen == [(0, 3, None), (1, 3, 0.2), (1, 3, 0.2), (2, 3, 0.4), (3, 3, 0.6)]


def test_a_file_without_times_or_layers_goes_by_lines() -> None:
    progress = meter(prepared_of(LINES))
    first = progress.tick(0, 100.0, moving=True)
    assert (first.remaining_s, first.layer, first.layers, first.fraction) == (None, None, None, 0.0)
    half = progress.tick(500, 150.0, moving=True)
    assert half.fraction == 0.5
    assert half.remaining_s == 50.0


def test_a_resumed_file_without_times_goes_by_the_lines_done_here() -> None:
    progress = meter(prepared_of(LINES))
    progress.first_line = 500
    progress.tick(500, 100.0, moving=True)
    assert progress.tick(750, 125.0, moving=True).remaining_s == 25.0


def test_tiny_files() -> None:
    one = meter(prepared_of([b"G28"], 10, (0.0,), 12.0))
    assert one.tick(0, 100.0, moving=True).remaining_s == 12.0
    done = one.tick(1, 110.0, moving=True)
    assert (done.fraction, done.remaining_s, done.byte, done.bytes) == (1.0, 0.0, 4, 4)
    empty = meter(prepared_of([]))
    assert empty.tick(0, 100.0, moving=True).fraction == 1.0


def test_bytes_follow_the_grid() -> None:
    prepared = hour()
    progress = meter(prepared)
    assert progress.tick(500, 100.0, moving=True).byte == prepared.offsets[50]
