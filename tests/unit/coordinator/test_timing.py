"""Too early, due, too late, unknown: with clocks that are right, unset, or learned from the coordinator."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.coordinator.availability import parse_hours
from agent.coordinator.timing import CoordinatorClock, Timeliness, Window, judge
from agent.domain.events import ClockState, Stamp

TRUE_MS = 1_800_000_000_000


def moment(
    *, wall_ms: int = TRUE_MS, mono_ms: int = 1000, boot: str = "b", clk: ClockState = ClockState.SYNC
) -> Stamp:
    return Stamp(wall_ms, mono_ms, boot, clk)


@given(st.integers(0, 2**45), st.integers(0, 2**45), st.integers(0, 2**45))
def test_with_a_set_clock_it_is_arithmetic(not_before: int, expires: int, now_ms: int) -> None:
    verdict = judge(Window(not_before, expires), CoordinatorClock().now(moment(wall_ms=now_ms)))
    if now_ms > expires:
        assert verdict is Timeliness.LATE
    else:
        assert verdict is (Timeliness.EARLY if now_ms < not_before else Timeliness.DUE)


@given(
    lag_ms=st.integers(0, 10**9),
    wall_ms=st.integers(0, TRUE_MS),
    expires=st.integers(TRUE_MS - 10**9, TRUE_MS + 10**9),
    is_heard=st.booleans(),
)
def test_without_a_clock_nothing_in_time_is_called_late(
    lag_ms: int, wall_ms: int, expires: int, is_heard: bool
) -> None:
    """An unset clock is behind, and what was sent was sent before now: both only bound the time from below."""
    clock = CoordinatorClock()
    stamp = moment(wall_ms=wall_ms, clk=ClockState.UNSYNC)
    if is_heard:
        clock.hear(TRUE_MS - lag_ms, stamp)
    verdict = judge(Window(None, expires), clock.now(stamp))
    if verdict is Timeliness.LATE:
        assert expires < TRUE_MS
    if not is_heard:
        assert verdict in (Timeliness.UNKNOWN, Timeliness.LATE)


def test_the_latest_word_counts_and_grows_with_the_monotonic_clock() -> None:
    clock = CoordinatorClock()
    clock.hear(TRUE_MS, moment(wall_ms=5, mono_ms=1_000, clk=ClockState.UNSYNC))
    clock.hear(TRUE_MS - 60_000, moment(wall_ms=5, mono_ms=2_000, clk=ClockState.UNSYNC))
    now = clock.now(moment(wall_ms=5, mono_ms=11_000, clk=ClockState.UNSYNC))
    assert now.known_ms == TRUE_MS + 10_000


def test_a_reboot_forgets_what_was_heard() -> None:
    clock = CoordinatorClock()
    clock.hear(TRUE_MS, moment(clk=ClockState.UNSYNC))
    assert clock.now(moment(wall_ms=5, boot="later", clk=ClockState.UNSYNC)).known_ms is None


def test_the_brokers_expiry_counts_on_the_monotonic_clock_of_this_boot_only() -> None:
    window = Window(None, TRUE_MS * 2, expires_mono_ms=5_000, boot="b")
    clock = CoordinatorClock()
    unset = ClockState.UNSYNC
    assert judge(window, clock.now(moment(wall_ms=1, mono_ms=4_999, clk=unset))) is Timeliness.DUE
    assert judge(window, clock.now(moment(wall_ms=1, mono_ms=5_000, clk=unset))) is Timeliness.LATE
    assert (
        judge(window, clock.now(moment(wall_ms=1, mono_ms=9_000, boot="c", clk=unset))) is Timeliness.UNKNOWN
    )


def test_a_trusted_clock_needs_no_flag() -> None:
    assert CoordinatorClock(is_trusted=True).now(moment(clk=ClockState.UNSYNC)).known_ms == TRUE_MS


def test_hours_of_the_week() -> None:
    week = parse_hours(
        "never", ["mon-fri 08-18 auto", "sat 10-14 ask", "daily 22-6 never", "sun-mon 0-1 ask"]
    )
    assert week.at(0, 8) == "auto"
    assert week.at(4, 17) == "auto"
    assert week.at(4, 18) == "never"
    assert week.at(5, 10) == "ask"
    assert week.at(6, 0) == "ask"
    assert week.at(0, 0) == "ask"
    assert week.at(6, 12) == "never"
    assert week.named()["wed"] == "n" * 8 + "a" * 10 + "n" * 6


def test_hours_over_midnight_reach_into_the_next_day() -> None:
    week = parse_hours("auto", ["sun 22-6 never"])
    assert week.at(6, 23) == "never"
    assert week.at(0, 5) == "never"
    assert week.at(0, 6) == "auto"
    assert week.at(6, 5) == "auto"
