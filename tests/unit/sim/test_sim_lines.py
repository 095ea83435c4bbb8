"""Line numbers, checksums, the receive ring and the emergency scanner on their own."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sim.dialects import DIALECTS
from agent.sim.emergency import EmergencyScanner
from agent.sim.lines import Accepted, Fault, LineCounter, Repeated, leading_integer, xor_checksum
from agent.sim.receiver import Receiver
from tests.unit.sim.firmware_rig import framed


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_the_folded_checksum_is_the_xor_of_all_bytes(data: bytes) -> None:
    assert xor_checksum(data) == reduce(xor, data, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"12", 12), (b"-5x", -5), (b"+7", 7), (b"  9", 9), (b"", 0), (b"x", 0), (b"99999999999", 2**31 - 1)],
)
def test_numbers_are_read_like_strtol(text: bytes, value: int) -> None:
    assert leading_integer(text) == value


@pytest.fixture
def counter() -> LineCounter:
    counter = LineCounter(DIALECTS["marlin-2.1"])
    counter.last = 9
    return counter


def bare(verdict: Accepted | Repeated | Fault) -> tuple[int | None, bytes]:
    """Number and text of an accepted line."""
    assert isinstance(verdict, Accepted), verdict
    return verdict.number, verdict.text


class TestLineCounter:
    @pytest.mark.parametrize(
        "line", [b"N10 G1 X1*", b"N10G1 X1*", b"  N10 G1 X1*", b"N10  G1 X1*", b"N10 G1 X1 *", b"N+10 G1 X1*"]
    )
    def test_accepts_what_marlin_accepts(self, counter: LineCounter, line: bytes) -> None:
        checksum = reduce(xor, line.lstrip(b" ")[:-1])
        assert bare(counter.check(line + b"%d" % checksum)) == (10, b"G1 X1")
        assert counter.last == 10

    def test_text_keeps_its_own_blanks_and_loses_only_the_trailing_ones(self, counter: LineCounter) -> None:
        assert bare(counter.check(framed(10, "M117  two  blanks  ")[:-1])) == (10, b"M117  two  blanks")

    def test_the_last_star_starts_the_checksum_and_the_first_ends_the_command(
        self, counter: LineCounter
    ) -> None:
        assert bare(counter.check(framed(10, "M117 a*b")[:-1])) == (10, b"M117 a")

    def test_a_star_without_a_number_is_cut_off(self, counter: LineCounter) -> None:
        assert bare(counter.check(b"M105*99")) == (None, b"M105")

    def test_a_number_that_is_none_counts_as_zero(self, counter: LineCounter) -> None:
        assert counter.check(b"N G1*0") is Fault.NUMBER

    @pytest.mark.parametrize("number", [8, 9])
    def test_last_and_the_one_before_are_repeated(self, counter: LineCounter, number: int) -> None:
        verdict = counter.check(framed(number, "G1")[:-1])
        assert verdict == Repeated(number) if number >= 8 else Fault.NUMBER
        assert counter.last == 9

    def test_a_rejected_line_leaves_the_counter(self, counter: LineCounter) -> None:
        assert counter.check(b"N10 G1*1") is Fault.CHECKSUM
        assert counter.check(b"N10 G1") is Fault.NO_CHECKSUM
        assert counter.check(b"N11 G1*1") is Fault.NUMBER
        assert counter.last == 9

    def test_mk3_looks_for_m110_only_at_the_start_of_the_command(self) -> None:
        counter = LineCounter(DIALECTS["prusa-mk3"])
        assert bare(counter.check(framed(1, "M118 see M110 N77")[:-1])) == (1, b"M118 see M110 N77")
        assert counter.last == 1

    @settings(deadline=None)
    @given(st.integers(0, 2**31 - 2), st.text(alphabet="GMXYZEF.0123456789 -", max_size=60))
    def test_a_correct_next_line_is_always_accepted(self, last: int, text: str) -> None:
        counter = LineCounter(DIALECTS["marlin-2.1"])
        counter.last = last
        if "M110" in text:
            return
        verdict = counter.check(framed(last + 1, "G" + text)[:-1])
        assert isinstance(verdict, Accepted)
        assert verdict.number == counter.last == last + 1

    @settings(deadline=None)
    @given(st.binary(min_size=1, max_size=120), st.sampled_from(sorted(DIALECTS)))
    def test_no_bytes_break_it(self, line: bytes, dialect: str) -> None:
        LineCounter(DIALECTS[dialect]).check(line)


class TestReceiver:
    def feed(self, data: bytes, *, ring: int = 128, stalled: bool = False) -> list[bytes]:
        receiver = Receiver(ring, 95)
        receiver.arrive(data, stalled=stalled)
        lines = []
        while (line := receiver.next_line()) is not None:
            lines.append(line)
        return lines

    @pytest.mark.parametrize(
        ("raw", "line"),
        [
            (b"G1;x\n", b"G1"),
            (b";x\n", b""),
            (b"a\\;b;c\n", b"a;b"),
            (b"a\\\\b\n", b"a\\b"),
            (b"ab\x08c\n", b"ac"),
            (b"\x08c\n", b"c"),
            (b"x" * 200 + b"\n", b"x" * 95),
            (b"G1\0junk\n", b"G1"),
            (b"\0junk\n", b" "),
            (b"ab\x08\x08\n", b""),
        ],
    )
    def test_line_rules(self, raw: bytes, line: bytes) -> None:
        assert self.feed(raw) == [line]

    def test_a_ring_of_128_holds_127_bytes_and_loses_the_rest(self) -> None:
        receiver = Receiver(128, 95)
        assert receiver.arrive(b"x" * 100, stalled=True) == 0
        assert receiver.arrive(b"y" * 100, stalled=True) == 73
        assert receiver.waiting_bytes == 127
        assert receiver.lost_bytes == 73

    def test_while_somebody_reads_nothing_is_lost(self) -> None:
        assert self.feed(b"G21\n" * 100) == [b"G21"] * 100

    def test_halves_are_put_together(self) -> None:
        receiver = Receiver(128, 95)
        receiver.arrive(b"G1 X", stalled=False)
        assert receiver.next_line() is None
        receiver.arrive(b"5\nG", stalled=False)
        assert receiver.next_line() == b"G1 X5"
        assert receiver.next_line() is None
        assert receiver.throw_away() == 1
        receiver.arrive(b"21\n", stalled=False)
        assert receiver.next_line() == b"21"

    def test_back_pressure_holds_bytes_instead_of_losing_them(self) -> None:
        receiver = Receiver(32, 95)
        assert receiver.offer(b"G21\n" * 20) == (b"G21\n" * 20)[:31]
        assert receiver.held_bytes == 49
        lines = 0
        while receiver.next_line() is not None or receiver.offer(b""):
            lines += 1
        assert receiver.lost_bytes == 0
        assert receiver.held_bytes == 0

    def test_an_endless_line_needs_no_endless_memory(self) -> None:
        receiver = Receiver(128, None)
        for _ in range(100):
            receiver.arrive(b"x" * 1000, stalled=False)
            assert receiver.next_line() is None
        receiver.arrive(b"\n", stalled=False)
        line = receiver.next_line()
        assert line is not None
        assert len(line) <= 4096


class TestEmergencyScanner:
    @pytest.mark.parametrize(
        ("line", "codes"),
        [
            (b"M112\n", [112]),
            (b" M112\n", [112]),
            (b"N5 M112*34\n", [112]),
            (b"N-5 M112\n", [112]),
            (b"M 112\n", [112]),
            (b"M1121\n", [112]),
            (b"M112x\n", [112]),
            (b"M108\nM410\n", [108, 410]),
            (b"M876 S1\n", [876]),
            (b"M876\n", []),
            (b"M11\n", []),
            (b"G1 M112\n", []),
            (b"M117 M112\n", []),
            (b"m112\n", []),
            (b"M112", []),
        ],
    )
    def test_words(self, line: bytes, codes: list[int]) -> None:
        assert [word.code for word in EmergencyScanner().feed(line)] == codes

    @settings(deadline=None)
    @given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
    def test_cuts_do_not_matter(self, cuts: list[int]) -> None:
        data = b"G1 X5\nM112\nN3 M108*7\nM876 S2\nG28\n"
        scanner, found, at = EmergencyScanner(), [], 0
        for size in cuts:
            found += scanner.feed(data[at : at + size])
            at += size
        found += scanner.feed(data[at:])
        assert [(word.code, word.answer) for word in found] == [(112, 0), (108, 0), (876, 2)]
