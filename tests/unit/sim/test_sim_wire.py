"""The paced wire, the ring behind it, and what a host sees when bytes are lost."""

from __future__ import annotations

import pytest

from agent.sim.wire import ReceiveWire, TransmitWire
from tests.unit.sim.firmware_rig import Rig, framed

LINE_BYTES = 37


def moves(first: int, count: int) -> bytes:
    """Numbered moves of exactly 37 bytes each on the wire."""
    lines = []
    for number in range(first, first + count):
        text = f"G1 X{number % 10}.00"
        while len(framed(number, text)) < LINE_BYTES:
            text += "0"
        lines.append(framed(number, text))
    assert all(len(line) == LINE_BYTES for line in lines)
    return b"".join(lines)


class TestWires:
    def test_each_byte_takes_ten_bits(self) -> None:
        wire = ReceiveWire(115200)
        wire.put(b"abcd\nef", 1.0)
        byte_s = 10 / 115200
        assert wire.due(1.0 + 2.5 * byte_s) == b"ab"
        assert wire.next_line_end() == pytest.approx(1.0 + 5 * byte_s)
        assert wire.due(1.0 + 5 * byte_s) == b"cd\n"
        assert wire.next_line_end() is None
        assert wire.backlog_bytes(1.0 + 5 * byte_s) == 2
        assert wire.due(2.0) == b"ef"

    def test_writes_queue_behind_each_other(self) -> None:
        wire = ReceiveWire(9600)
        wire.put(b"x" * 960, 0.0)
        wire.put(b"\n", 0.5)
        assert wire.next_line_end() == pytest.approx(961 / 960)

    def test_the_way_back_is_paced_and_delayed(self) -> None:
        wire = TransmitWire(115200, latency_s=0.01)
        wire.put(b"ok\n", 1.0)
        assert wire.take(1.0099) == b""
        assert wire.next_end() == pytest.approx(1.01 + 3 * 10 / 115200)
        assert wire.take(2.0) == b"ok\n"
        assert wire.next_end() is None

    def test_unpaced_bytes_are_there_at_once(self) -> None:
        wire = TransmitWire(0)
        wire.put(b"ok\n", 1.0)
        assert wire.take(1.0) == b"ok\n"


class TestOverflow:
    @pytest.mark.parametrize(("slots", "safe"), [(4, 7), (16, 19)])
    def test_slots_plus_ring_is_what_can_be_in_flight(self, slots: int, safe: int) -> None:
        for count, loses in ((safe, False), (safe + 1, True)):
            rig = Rig(baud=115200, slots=slots, rx_buffer=128)
            rig.firmware.receive(b"G4 S2\n", rig.now)  # takes the first slot
            rig.wait(0.1)
            rig.firmware.receive(moves(1, count - 1), rig.now)
            lines = rig.wait(10)
            assert bool(rig.firmware.statistics.lost_bytes) is loses, count
            assert lines.count("ok") == count - loses, "a line that lost its end is not answered at all"

    def test_the_damaged_line_and_all_behind_it_are_asked_for_one_by_one(self) -> None:
        rig = Rig(baud=115200)
        rig.firmware.receive(b"G4 S1\n", rig.now)
        rig.wait(0.1)
        rig.firmware.receive(moves(1, 7), rig.now)
        lines = rig.wait(3)
        assert rig.firmware.statistics.lost_bytes == 6 * LINE_BYTES + LINE_BYTES - 3 * LINE_BYTES - 127
        assert rig.firmware.statistics.job_lines == 6
        rig.firmware.receive(moves(8, 3), rig.now)
        lines = rig.wait(1)
        assert [line for line in lines if line.startswith("Resend")] == ["Resend: 7"] * 3
        assert lines.count("ok") == 3

    def test_lost_bytes_are_in_the_ledger(self) -> None:
        rig = Rig(baud=115200, rx_buffer=64)
        rig.firmware.receive(b"G4 S1\n", rig.now)
        rig.wait(0.1)
        rig.firmware.receive(moves(1, 6), rig.now)
        rig.wait(3)
        assert (
            sum(int(str(event["bytes"])) for event in rig.events("overflow"))
            == rig.firmware.statistics.lost_bytes
            > 0
        )

    def test_a_usb_port_loses_nothing(self) -> None:
        rig = Rig(baud=0)
        rig.firmware.receive(b"G4 S1\n", rig.now)
        rig.firmware.receive(moves(1, 200), rig.now)
        assert rig.firmware.backlog_bytes() > 0
        rig.wait(60)
        assert rig.firmware.statistics.job_lines == 200
        assert rig.firmware.statistics.lost_bytes == 0

    def test_two_lines_of_at_most_120_bytes_are_always_safe(self) -> None:
        rig = Rig(baud=250000, command_s=0.004)
        sent = done = 0
        while done < 300:
            while sent < 300 and sent - done < 2:
                sent += 1
                rig.firmware.receive(moves(sent, 1), rig.now)
            done += rig.until_ok().count("ok")
        assert rig.firmware.statistics.lost_bytes == 0
        assert rig.firmware.statistics.job_lines == 300


class TestThroughput:
    def stream(self, window: int, count: int = 400, **settings: object) -> float:
        rig = Rig(**settings)
        began = rig.now
        sent = done = 0
        while done < count:
            while sent < count and sent - done < window:
                sent += 1
                rig.firmware.receive(framed(sent, "M73 P50 R12  "), rig.now)
            done += rig.until_ok().count("ok")
        return count / (rig.now - began)

    def test_a_wide_window_fills_the_wire(self) -> None:
        rate = self.stream(4, baud=115200)
        bytes_per_line = sum(len(framed(n, "M73 P50 R12  ")) for n in range(1, 401)) / 400
        assert rate == pytest.approx(11520 / bytes_per_line, rel=0.02)

    def test_ping_pong_pays_for_latency_and_processing(self) -> None:
        assert self.stream(1, baud=115200, command_s=0.004) < 0.5 * self.stream(2, baud=115200)
        assert self.stream(1, latency_s=0.002) == pytest.approx(500, rel=0.01)
