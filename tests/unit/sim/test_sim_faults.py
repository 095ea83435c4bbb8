"""Faults: seeded, reproducible, and doing what they say."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sim.faults import FaultyLine, LineFaults, Strikes, drop_byte, flip_bit
from tests.unit.sim.firmware_rig import Rig, framed


class TestStrikes:
    def test_the_rate_is_the_probability(self) -> None:
        strikes = Strikes(0.01, "1")
        assert 850 < sum(strikes.next() for _ in range(100_000)) < 1150

    def test_never_and_always(self) -> None:
        assert not any(Strikes(0.0, "1").next() for _ in range(1000))
        assert all(Strikes(1.0, "1").next() for _ in range(1000))

    @settings(deadline=None)
    @given(st.floats(0.001, 0.9), st.lists(st.integers(0, 50), max_size=30))
    def test_cuts_do_not_matter(self, p: float, cuts: list[int]) -> None:
        one, other = Strikes(p, "s"), Strikes(p, "s")
        found, at = [], 0
        for size in cuts:
            found += [at + k for k in one.among(size)]
            at += size
        assert found == [k for k in range(at) if other.next()]


class TestDamage:
    @settings(deadline=None)
    @given(st.binary(min_size=1, max_size=50), st.integers())
    def test_one_bit_or_one_byte(self, line: bytes, seed: int) -> None:
        flipped = flip_bit(line, Random(seed))
        assert sum((a ^ b).bit_count() for a, b in zip(line, flipped, strict=True)) == 1
        assert len(drop_byte(line, Random(seed))) == len(line) - 1

    @settings(deadline=None)
    @given(st.binary(max_size=300), st.integers())
    def test_any_bytes_pass_through_the_faulty_line(self, data: bytes, seed: int) -> None:
        faults = LineFaults(flip_in=0.5, drop_bytes_in=0.5, flip_out=0.5, drop_bytes_out=0.5, drop_ok=0.5)
        line, same = FaultyLine(faults, seed), FaultyLine(faults, seed)
        arrived = line.inbound(data)
        assert len(data) - line.strikes_in <= len(arrived) <= len(data)
        left = line.outbound(data)
        assert 0 <= len(data) - len(left) <= 1 or (left == b"" and data.startswith(b"ok"))
        assert (same.inbound(data), same.outbound(data)) == (arrived, left)

    def test_without_faults_nothing_changes(self) -> None:
        line = FaultyLine(LineFaults(), 1)
        assert line.inbound(b"N1 G1*2\n") == b"N1 G1*2\n"
        assert line.outbound(b"ok\n") == b"ok\n"


def run(**settings: object) -> tuple[list[str], Rig]:
    rig = Rig(**settings)
    lines = []
    for n in range(1, 501):
        lines += rig.send(framed(n, "M73 P1"))
    return lines, rig


def plugged(rig: Rig) -> bool:
    return rig.firmware.cable


class TestOnTheWire:
    @pytest.mark.parametrize(
        "fault", ["flip_in", "flip_out", "drop_bytes", "drop_bytes_out", "drop_ok", "double_ok"]
    )
    def test_a_seed_repeats_itself_and_another_differs(self, fault: str) -> None:
        first, _ = run(seed=5, **{fault: 0.05})
        again, _ = run(seed=5, **{fault: 0.05})
        other, _ = run(seed=6, **{fault: 0.05})
        assert first == again
        assert first != other
        assert first != ["ok"] * 500

    def test_counts_are_kept(self) -> None:
        lines, rig = run(drop_ok=0.1)
        assert 500 - len(lines) == rig.firmware.board.line.dropped_oks > 20
        lines, rig = run(double_ok=0.1)
        assert len(lines) - 500 == rig.firmware.board.line.doubled_oks > 20

    def test_a_damaged_line_is_not_executed_as_it_stands(self) -> None:
        _, rig = run(flip_in=0.02)
        assert rig.firmware.statistics.rejected > 0
        assert {entry.cmd for entry in rig.firmware.executed if entry.src == "job"} == {"M73 P1"}

    def test_reset_after_lines(self) -> None:
        lines, rig = run(reset_after_lines=10)
        assert lines[:10] == ["ok"] * 9 + ["start"], "the last ok never left the board"
        assert rig.firmware.board.counter.last == 0
        assert "Error:Line Number is not Last Line Number+1, Last Line: 0" in lines

    def test_dead_after_lines(self) -> None:
        lines, _ = run(dead_after_lines=10)
        assert len(lines) == 9, "the last ok never left the board"

    def test_unplug_and_replug(self) -> None:
        rig = Rig(unplug_after_lines=3, replug_after_s=5.0)
        for n in range(1, 6):
            rig.send(framed(n, "G21"))
        assert not plugged(rig)
        assert rig.send("M105") == []
        rig.wait(4.9)
        assert not plugged(rig)
        rig.wait(0.2)
        assert plugged(rig)
        assert rig.send("M105") == [], "the port is not open yet"
        rig.firmware.open_port(rig.now)
        assert rig.send("M110") == ["Line: 3", "ok"], "the board kept its power and its counter"

    def test_faults_can_follow_each_other(self) -> None:
        lines, rig = run(reset_after_lines=5, dead_after_lines=5)
        assert lines[:4] == ["ok"] * 4
        assert rig.firmware.statistics.resets + (rig.firmware.power == "dead") >= 1

    def test_latency_delays_every_answer(self) -> None:
        rig = Rig(latency_s=0.05)
        assert rig.send("M105") == []
        ((at, text),) = rig.timeline(1)
        assert at == pytest.approx(0.05)
        assert text.startswith("ok T:")


class TestPort:
    def test_a_late_opener_sees_no_greeting(self) -> None:
        rig = Rig()
        firmware = rig.firmware
        firmware.close_port(rig.now)
        firmware.reset(rig.now)
        rig.wait(1)
        firmware.open_port(rig.now)
        assert rig.heard() == []
        assert rig.send("M110") == ["Line: 0", "ok"]

    def test_the_board_keeps_its_state_across_close_and_open(self) -> None:
        rig = Rig()
        rig.send(framed(1, "M104 S200"))
        rig.firmware.close_port(rig.now)
        rig.wait(10)
        rig.firmware.open_port(rig.now)
        assert rig.send("M110") == ["Line: 1", "ok"]
        assert rig.firmware.board.hotend.target == 200.0

    def test_opening_can_reset_the_board(self) -> None:
        rig = Rig(reset_on_open=True)
        rig.send(framed(1, "M104 S200"))
        rig.firmware.close_port(rig.now)
        rig.firmware.open_port(rig.now)
        assert rig.heard()[:2] == ["start", " External Reset"]
        assert rig.events("reset")[0]["cause"] == "dtr"
