"""Motion physics: trapezoids, look-ahead, the bounded planner, starvation and the ideal time."""

from __future__ import annotations

from math import pi, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sim.lookahead import LookAhead, Move, Plan, trapezoid
from agent.sim.planner import FIRST_MOVE_DELAY_S, Planner
from tests.unit.sim.firmware_rig import Rig, framed

HOME = (0.0, 0.0, 0.0, 0.0)


def move(distance: float, speed: float = 100.0, acceleration: float = 1000.0, entry_sq: float = 0.0) -> Move:
    return Move(distance, speed, acceleration, entry_sq, HOME, (distance, 0.0, 0.0, 0.0))


class TestTrapezoid:
    def test_with_a_flat_part(self) -> None:
        peak, duration = trapezoid(100.0, 50.0, 1000.0, 0.0, 0.0)
        assert peak == 50.0
        assert duration == pytest.approx(100.0 / 50.0 + 50.0 / 1000.0)

    def test_a_triangle_when_it_is_too_short(self) -> None:
        peak, duration = trapezoid(1.0, 500.0, 1000.0, 0.0, 0.0)
        assert peak == pytest.approx(sqrt(1000.0))
        assert duration == pytest.approx(2.0 * sqrt(1.0 / 1000.0))

    def test_at_constant_speed(self) -> None:
        assert trapezoid(10.0, 20.0, 1000.0, 400.0, 400.0) == pytest.approx((20.0, 0.5))

    def test_braking_only(self) -> None:
        _, duration = trapezoid(5.0, 100.0, 1000.0, 10000.0, 0.0)
        assert duration == pytest.approx(0.1)

    @settings(deadline=None)
    @given(
        st.tuples(st.floats(0.01, 500), st.floats(0.1, 500), st.floats(10, 10000)),
        st.tuples(st.floats(0, 1), st.floats(0, 1)),
        st.floats(0, 1),
    )
    def test_the_area_under_the_speed_is_the_distance(
        self, shape: tuple[float, float, float], ends: tuple[float, float], part: float
    ) -> None:
        (distance, speed, acceleration), (entry, exit_) = shape, ends
        entry_sq = (entry * speed) ** 2
        exit_sq = min((exit_ * speed) ** 2, entry_sq + 2 * acceleration * distance)
        entry_sq = min(entry_sq, exit_sq + 2 * acceleration * distance)
        peak, duration = trapezoid(distance, speed, acceleration, entry_sq, exit_sq)
        plan = Plan(
            Move(distance, speed, acceleration, entry_sq, HOME, HOME),
            sqrt(entry_sq),
            sqrt(exit_sq),
            peak,
            duration,
        )
        assert plan.distance_after(duration) == pytest.approx(distance, rel=1e-6, abs=1e-9)
        assert 0.0 <= plan.distance_after(part * duration) <= distance * (1 + 1e-9)
        assert peak <= speed * (1 + 1e-9)


class TestLookAhead:
    def brute_force(self, moves: list[Move]) -> list[float]:
        """Squared exit speeds by the classic backward and forward passes over all moves."""
        entries = [m.entry_speed_sq for m in moves] + [0.0]
        entries[0] = 0.0
        for k in range(len(moves) - 1, -1, -1):
            m = moves[k]
            entries[k] = min(entries[k], entries[k + 1] + 2 * m.acceleration * m.distance)
        for k, m in enumerate(moves):
            entries[k + 1] = min(entries[k + 1], entries[k] + 2 * m.acceleration * m.distance)
        return entries[1:]

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.floats(0.05, 20), st.floats(5, 300), st.floats(100, 5000), st.floats(0, 1)),
            min_size=1,
            max_size=30,
        )
    )
    def test_equals_two_passes_over_all_moves(self, raw: list[tuple[float, float, float, float]]) -> None:
        moves, last = [], 0.0
        for distance, speed, acceleration, part in raw:
            moves.append(move(distance, speed, acceleration, (part * min(speed, last)) ** 2))
            last = speed
        queue = LookAhead()
        for m in moves:
            queue.push(m)
        plans = [queue.start_next() for _ in moves]
        assert [p.exit_speed**2 for p in plans] == pytest.approx(self.brute_force(moves), rel=1e-6, abs=1e-5)
        assert plans[-1].exit_speed == 0.0

    def test_a_chain_of_collinear_moves_is_one_long_move(self) -> None:
        queue = LookAhead()
        for k in range(20):
            queue.push(move(5.0, 50.0, 1000.0, 2500.0 if k else 0.0))
        total = sum(queue.start_next().duration_s for _ in range(20))
        assert total == pytest.approx(trapezoid(100.0, 50.0, 1000.0, 0.0, 0.0)[1])


class TestPlanner:
    def test_the_first_move_is_held_back_until_three_wait_or_a_tenth_of_a_second_passed(self) -> None:
        planner = Planner(16)
        planner.add(move(10.0), 1.0)
        assert planner.next_event() == 1.0 + FIRST_MOVE_DELAY_S
        planner.add(move(10.0), 1.01)
        planner.add(move(10.0), 1.02)
        assert planner.moving_since == 1.02

    def test_late_calls_do_not_change_when_moves_end(self) -> None:
        early, late = Planner(16), Planner(16)
        for planner in (early, late):
            for _ in range(4):
                planner.add(move(10.0, entry_sq=400.0), 0.0)
        for k in range(2000):
            early.advance(k / 1000.0)
        late.advance(2.0)
        assert early.empty_since == late.empty_since > 0.4
        assert early.count == late.count == 0

    def test_fifteen_of_sixteen_places_can_be_filled(self) -> None:
        planner = Planner(16)
        for _ in range(15):
            assert not planner.full
            planner.add(move(1.0), 0.0)
        assert planner.full
        assert planner.free == 0

    def test_motion_runs_faster_by_the_speed_factor(self) -> None:
        times = []
        for factor in (1.0, 10.0):
            planner = Planner(16, factor)
            for _ in range(5):
                planner.add(move(10.0), 0.0)
            planner.advance(100.0)
            times.append(planner.empty_since)
        assert times[0] == pytest.approx(10 * times[1])

    def test_a_stop_leaves_the_tool_where_it_is(self) -> None:
        planner = Planner(16)
        planner.add(move(100.0, 10.0), 0.0)
        place = planner.stop(5.0 + FIRST_MOVE_DELAY_S)
        assert place is not None
        assert place[0] == pytest.approx(50.0, abs=0.2)
        assert planner.count == 0


def stream(rig: Rig, lines: list[str], *, window: int = 4, pause_s: float = 0.0) -> None:
    """Send numbered lines with a window; between oks the host dawdles."""
    sent = done = 0
    number = rig.firmware.board.counter.last
    while done < len(lines):
        while sent < len(lines) and sent - done < window:
            sent += 1
            rig.firmware.receive(framed(number + sent, lines[sent - 1]), rig.now)
        heard = rig.until_ok()
        done += sum(line.startswith("ok") for line in heard)
        rig.wait(pause_s)


class TestPrinting:
    def test_a_long_straight_line_takes_the_textbook_time(self) -> None:
        rig = Rig()
        stream(rig, ["G1 F3000", *[f"G1 X{x}" for x in range(5, 105, 5)], "M400"])
        summary = rig.firmware.summary(rig.now)
        textbook = 100.0 / 50.0 + 50.0 / 3000.0
        assert summary["ideal_s"] == pytest.approx(textbook, rel=1e-3)
        assert summary["actual_s"] == pytest.approx(textbook, rel=0.02)
        assert summary["starvation_events"] == 0

    def test_a_polygon_with_many_corners_keeps_its_speed(self) -> None:
        rig = Rig()
        lines = ["G1 X100 Y100 F3000", "M400"]
        lines += [f"G3 X100 Y100 I{-20} J0 F3000", "M400"]
        began_lines = len(lines)
        stream(rig, lines)
        record = rig.firmware.statistics.current
        assert record.moves == 1 + round(2 * pi * 20 + 0.5)
        assert began_lines == 4
        assert rig.firmware.board.motion.position[:2] == pytest.approx((100.0, 100.0))

    def test_limits_and_overrides_change_the_time(self) -> None:
        times = {}
        for name, first in (
            ("plain", "M220 S100"),
            ("half", "M220 S50"),
            ("slow", "M203 X20"),
            ("soft", "M201 X50"),
        ):
            rig = Rig()
            stream(rig, [first, "G1 X100 F3000", "M400"])
            times[name] = (
                rig.firmware.statistics.current.actual_s or rig.firmware.summary(rig.now)["actual_s"]
            )
        assert times["half"] == pytest.approx(2.0 * float(str(times["plain"])), rel=0.02)
        assert times["slow"] == pytest.approx(100.0 / 20.0, rel=0.02)
        assert times["soft"] == pytest.approx(100.0 / 50.0 + 50.0 / 50.0, rel=0.01)

    def test_a_fed_planner_never_starves_and_matches_the_ideal(self) -> None:
        rig = Rig()
        stream(rig, [f"G1 X{10 + k * 0.2:.2f} Y{(k % 2) * 0.1:.2f} F3600" for k in range(300)] + ["M400"])
        summary = rig.firmware.summary(rig.now)
        assert summary["starvation_events"] == 0
        assert summary["actual_s"] == pytest.approx(summary["ideal_s"], rel=0.02)

    def test_a_slow_host_starves_the_planner_and_it_is_counted(self) -> None:
        rig = Rig()
        stream(rig, [f"G1 X{k * 0.2:.2f} F6000" for k in range(1, 101)] + ["M400"], window=1, pause_s=0.2)
        summary = rig.firmware.summary(rig.now)
        assert float(str(summary["starvation_events"])) == 99
        assert float(str(summary["starvation_ms"])) > 5000
        assert float(str(summary["actual_s"])) > 5 * float(str(summary["ideal_s"]))

    def test_a_shortage_first_shows_as_slow_motion(self) -> None:
        rig = Rig()
        stream(rig, [f"G1 X{k * 0.2:.2f} F3600" for k in range(1, 301)] + ["M400"], window=1, pause_s=0.006)
        summary = rig.firmware.summary(rig.now)
        assert summary["starvation_events"] == 0
        assert float(str(summary["actual_s"])) > 1.2 * float(str(summary["ideal_s"]))

    def test_waiting_commands_are_no_starvation(self) -> None:
        rig = Rig()
        stream(rig, ["G1 X10 F3000", "G4 S2", "G1 X20", "M400", "G28 X", "G1 X30", "M400"])
        summary = rig.firmware.summary(rig.now)
        assert summary["starvation_events"] == 0
        assert float(str(summary["standing_s"])) > 2.0

    def test_dry_time_before_a_waiting_command_is_starvation(self) -> None:
        rig = Rig()
        stream(rig, ["G1 X1 F3000", "G4 P10", "G1 X2"], window=1, pause_s=1.0)
        record = rig.firmware.statistics.current
        assert record.starved == 1
        assert record.starved_s == pytest.approx(2.0 - 0.15, abs=0.1)

    def test_each_print_has_its_own_record(self) -> None:
        rig = Rig()
        stream(rig, ["G1 X10 F3000", "M400"])
        rig.send(framed(1000, "M110 N1000"))
        stream(rig, ["G1 X20", "M400"])
        prints = rig.firmware.summary(rig.now)["prints"]
        assert isinstance(prints, list)
        assert [(p["base"], p["lines"], p["moves"]) for p in prints] == [(0, 2, 1), (1000, 2, 1)]
        assert all(p["actual_s"] > 0.1 for p in prints)

    def test_speed_scales_motion_but_not_the_protocol(self) -> None:
        rig = Rig(speed=100.0)
        rig.send("G4 S100")
        assert rig.timeline(5)[-1][0] == pytest.approx(1.0)
        rig.send("G4 S500")
        assert rig.wait(6) == ["echo:busy: processing"] * 2 + ["ok"]
