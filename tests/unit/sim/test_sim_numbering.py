"""Line numbers on the wire: errors, duplicates, M110, the ring, blocking commands and numbered oks of Marlin 2."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest

from tests.unit.sim.firmware_rig import Rig, framed

NUMBER_ERROR = "Error:Line Number is not Last Line Number+1, Last Line: {}"


def _xor(text: str) -> int:
    return reduce(xor, text.encode())


@pytest.fixture
def rig() -> Rig:
    """Marlin 2.1 whose last line is 1, ADVANCED_OK off."""
    rig = Rig()
    assert rig.send(framed(1, "G21")) == ["ok"]
    return rig


class TestNumberedLines:
    def test_checksum_mismatch(self, rig: Rig) -> None:
        assert rig.send("N2 M105*1") == ["Error:checksum mismatch, Last Line: 1", "Resend: 2", "ok"]

    def test_a_number_too_far_ahead(self, rig: Rig) -> None:
        assert rig.send("N9 M105*46") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]

    def test_no_checksum(self, rig: Rig) -> None:
        answer = ["Error:No Checksum with line number, Last Line: 1", "Resend: 2", "ok"]
        assert rig.send("N2 M105") == answer

    def test_the_number_is_judged_before_the_checksum(self, rig: Rig) -> None:
        assert rig.send("N77 M105*0") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]

    def test_last_and_the_one_before_are_met_with_silence(self) -> None:
        rig = Rig()
        rig.send(framed(1, "G21"))
        rig.send(framed(2, "G90"))
        assert rig.send("N2 M105*37") == []
        assert rig.send("N1 M105*38") == []
        assert rig.send("N2 nonsense*999") == [], "duplicates are dropped before the checksum is looked at"
        assert rig.send("N0 M105*39") == [NUMBER_ERROR.format(2), "Resend: 3", "ok"]
        assert rig.texts() == ["G21", "G90"]
        assert rig.firmware.statistics.duplicates == 3

    def test_bare_m110_reports_the_number(self, rig: Rig) -> None:
        assert rig.send("M110") == ["Line: 1", "ok"]
        assert rig.send("N100 M110*34") == ["Line: 100", "ok"]

    def test_m110_with_a_second_number(self, rig: Rig) -> None:
        assert rig.send("N500 M110 N41*77") == ["ok"]
        assert rig.send(framed(42, "G21")) == ["ok"]

    def test_unnumbered_m110(self, rig: Rig) -> None:
        assert rig.send("M110 N7") == ["ok"]
        assert rig.send("M110") == ["Line: 7", "ok"]

    def test_an_unnumbered_m110_counts_when_executed_not_when_received(self, rig: Rig) -> None:
        rig.send("G4 S5")
        rig.send("M110 N7")
        assert rig.send("N999 M105*1") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]
        rig.wait(6)
        assert rig.send("N999 M105*1") == [NUMBER_ERROR.format(7), "Resend: 8", "ok"]

    def test_a_numbered_m110_counts_on_receipt_and_again_when_executed(self, rig: Rig) -> None:
        rig.send("G4 S5")
        rig.send(framed(41, "M110 N41"))
        rig.send(framed(42, "M73 P1"))
        rig.wait(6)
        assert rig.send("N999 M105*1") == [NUMBER_ERROR.format(41), "Resend: 42", "ok"], (
            "lines sent before the ok of M110 are asked for again"
        )

    def test_the_text_m110_anywhere_in_a_numbered_line_sets_the_number(self, rig: Rig) -> None:
        body = b"N2 M118 see M110 N77"
        checksum = 0
        for byte in body:
            checksum ^= byte
        assert checksum == 73
        assert rig.send(body + b"*73\n") == ["see M110 N77", "ok"]
        assert rig.send("M110") == ["Line: 77", "ok"]

    def test_lines_of_95_characters_pass_and_96_never_do(self, rig: Rig) -> None:
        text = "M117 " + "x" * 100
        for size, accepted in ((95, True), (96, False), (97, False)):
            line = next(
                f
                for f in (framed(rig.firmware.board.counter.last + 1, text[:k]) for k in range(100))
                if len(f) == size + 1
            )
            assert (rig.send(line) == ["ok"]) is accepted, size
        assert rig.firmware.statistics.rejected == 2

    def test_a_comment_before_the_checksum_loses_it(self, rig: Rig) -> None:
        assert rig.send("N2 M105 ; note*14") == [
            "Error:No Checksum with line number, Last Line: 1",
            "Resend: 2",
            "ok",
        ]

    def test_what_a_parser_skips_is_not_what_a_counter_reads(self) -> None:
        rig = Rig()
        assert rig.send(f"N 1 G21*{_xor('N 1 G21')}") == ['echo:Unknown command: "N 1 G21"', "ok"]
        assert rig.send(f"N2 *{_xor('N2 ')}") == [f'echo:Unknown command: "*{_xor("N2 ")}"', "ok"]
        assert rig.send(f"N3*{_xor('N3')}") == [f'echo:Unknown command: "*{_xor("N3")}"', "ok"]
        assert rig.send(framed(4, "N5 G21")) == ['echo:Unknown command: "N5 G21"', "ok"]
        assert rig.send("M110") == ["Line: 4", "ok"]
        assert rig.send("M110 N") == ["Line: 4", "ok"], "no value"
        assert rig.send("M110 N3 N8") == ["ok"]
        assert rig.send("M110 S5") == ["Line: 8", "ok"]
        assert rig.send("M110 N-5") == ["ok"]
        assert rig.send(framed(-4, "G21")) == ["ok"]

    def test_behind_a_blocking_command_lines_are_judged_but_not_answered(self) -> None:
        rig = Rig()
        rig.send(framed(14, "M110 N14"))
        assert rig.send(framed(15, "G4 P2500")) == []
        assert rig.send(framed(16, "G21")) == []
        assert rig.send(framed(16, "G21")) == [], "a duplicate"
        resend = ["Resend: 17", "ok"]
        assert rig.send("N17 G21*00") == ["Error:checksum mismatch, Last Line: 16", *resend]
        assert rig.send("M105") == []
        assert rig.send(framed(15, "G21")) == [], "the one before the last"
        assert rig.send(framed(14, "G21")) == [NUMBER_ERROR.format(16), *resend]
        assert rig.send(framed(17, "G21")) == []
        lines = rig.wait(3)
        assert [line[:4] for line in lines] == ["echo", "ok", "ok", "ok T", "ok"]

    def test_a_queued_m110_takes_the_number_back_and_lines_in_the_ring_are_lost(self) -> None:
        rig = Rig()
        rig.send(framed(30, "M110 N30"))
        rig.send(framed(31, "G4 P1500"))
        rig.send(framed(200, "M110 N200"))
        for n in (201, 202, 203, 204):  # two find a slot, two wait in the ring
            assert rig.send(framed(n, "G21")) == []
        lines = rig.wait(3)
        assert lines == ["ok", "ok", NUMBER_ERROR.format(200), "Resend: 201", "ok", *["ok"] * 3]
        assert rig.send(framed(205, "G21")) == [NUMBER_ERROR.format(200), "Resend: 201", "ok"]

    def test_the_probe_with_an_impossible_number_finds_the_last_line(self, rig: Rig) -> None:
        rig.send(b"N2 G1 X")  # the host died in the middle of a line
        assert rig.send("") == ["Error:No Checksum with line number, Last Line: 1", "Resend: 2", "ok"]
        assert rig.send("N999999999 M105*46") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]
        assert rig.send(framed(2, "G1 X26 F600")) == ["ok"]

    def test_after_a_reset_the_counter_is_zero(self, rig: Rig) -> None:
        rig.firmware.reset(rig.now)
        rig.heard()
        assert rig.send("N999999999 M105*46") == [NUMBER_ERROR.format(0), "Resend: 1", "ok"]

    def test_four_lines_in_one_write_give_four_oks(self, rig: Rig) -> None:
        data = b"".join(framed(n, "G21") for n in range(2, 6))
        assert rig.send(data) == ["ok"] * 4

    def test_the_ring_goes_with_the_rejected_line(self, rig: Rig) -> None:
        data = b"N2 G21*1\n" + b"".join(framed(n, "G21") for n in range(3, 6))
        assert rig.send(data) == ["Error:checksum mismatch, Last Line: 1", "Resend: 2", "ok"]
        assert rig.firmware.statistics.flushed_bytes == 3 * len(framed(3, "G21"))

    def test_errors_of_2_0_end_with_cr_lf_while_ok_ends_with_lf(self) -> None:
        rig = Rig(dialect="marlin-2.0")
        rig.firmware.receive(b"N2 M105*1\n", rig.now)
        assert rig.firmware.transmit(rig.now) == (
            b"Error:Line Number is not Last Line Number+1, Last Line: 0\r\nResend: 1\r\nok\n"
        )

    def test_2_0_answers_duplicates(self) -> None:
        rig = Rig(dialect="marlin-2.0")
        rig.send(framed(1, "G21"))
        assert rig.send(framed(1, "G21")) == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]
        assert rig.send("M110") == ["ok"]


class TestAdvancedOk:
    def test_forms(self) -> None:
        rig = Rig(advanced_ok=True)
        assert rig.send(framed(1, "G21")) == ["ok N1 P15 B3"]
        assert rig.send("G21") == ["ok P15 B3"]
        assert rig.send(framed(2, "M105"))[0].startswith("ok T:")
        rig.send(framed(3, "G1 X50 F60"))
        assert rig.send(framed(4, "G21")) == ["ok N4 P14 B3"]

    def test_the_number_is_the_one_the_line_began_with(self) -> None:
        rig = Rig(advanced_ok=True)
        assert rig.send("N500 M110 N41*77") == ["ok N500 P15 B3"]
        assert rig.send(framed(42, "G21")) == ["ok N42 P15 B3"]
        assert rig.send(b"  " + framed(43, "G21")) == ["ok P15 B3"], "an indented line is none with a number"

    def test_the_ok_behind_a_resend_on_2_0_repeats_an_old_number_when_nothing_waits(self) -> None:
        old = Rig(advanced_ok=True, dialect="marlin-2.0")
        assert old.send("N1 G21*0")[2:] == ["ok P15 B4"]
        for n in range(1, 7):
            old.send(framed(n, "G21"))
        assert old.send("N7 G21*0")[1:] == ["Resend: 7", "ok N3 P15 B4"], "that of the slot used next"

    def test_the_ok_behind_a_resend_lies_on_2_0_and_is_bare_on_2_1(self) -> None:
        old = Rig(advanced_ok=True, dialect="marlin-2.0")
        old.send(framed(1, "G21"))
        old.send(framed(2, "G4 P2500"))
        assert old.send("N3 G21*0")[1:] == ["Resend: 3", "ok N2 P15 B3"]
        new = Rig(advanced_ok=True)
        new.send(framed(1, "G4 P2500"))
        assert new.send("N2 G21*0")[1:] == ["Resend: 2", "ok"]
