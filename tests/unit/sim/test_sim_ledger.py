"""The ledger and the summary: what was executed, byte for byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sim.firmware import Firmware, FirmwareConfig
from agent.sim.ledger import Entry, Ledger
from agent.sim.statistics import LineDigest
from tests.unit.sim.firmware_rig import Rig, framed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestFile:
    def test_commands_and_events_in_order(self, path: Path) -> None:
        ledger = Ledger(path)
        firmware = Firmware(FirmwareConfig(), ledger)
        firmware.boot(50.0)
        firmware.receive(framed(7, "M110 N7") + framed(8, "G1 X10 Y10 F1.5") + b"M104 S200\nN9 G1*0\n", 52.5)
        ledger.close()
        assert records(path) == [
            {"event": "boot", "t": 0.0, "cause": "PowerUp"},
            {"event": "resend", "t": 2.5, "n": 9, "reason": "checksum mismatch"},
            {"i": 1, "t": 2.5, "n": 7, "cmd": "M110 N7", "src": "host"},
            {"i": 2, "t": 2.5, "n": 8, "cmd": "G1 X10 Y10 F1.5", "src": "job"},
            {"i": 3, "t": 2.5, "n": None, "cmd": "M104 S200", "src": "host"},
            {"event": "heater", "t": 2.5, "id": "hotend", "target": 200.0},
        ]

    def test_nothing_is_held_back_for_long(self, path: Path) -> None:
        ledger = Ledger(path)
        for k in range(1000):
            ledger.command(Entry(k, 1.0, k, "G1 X10.000 Y20.000 E.01234", "job"))
        assert path.stat().st_size > 32_000
        assert ledger.pending
        ledger.flush()
        assert len(records(path)) == 1000
        assert not ledger.pending

    @settings(deadline=None)
    @given(st.binary(max_size=40))
    def test_any_bytes_come_back_exactly(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        path = tmp_path_factory.mktemp("ledger") / "l"
        ledger = Ledger(path)
        ledger.command(Entry(1, 0.0, None, data.decode("utf-8", "surrogateescape"), "host"))
        ledger.close()
        assert str(records(path)[0]["cmd"]).encode("utf-8", "surrogateescape") == data


class TestExecuted:
    def test_utf8_messages_are_kept(self) -> None:
        rig = Rig()
        rig.send("M117 Grüße, 3 mm²")
        assert rig.texts() == ["M117 Grüße, 3 mm²"]

    def test_a_move_counts_when_the_planner_takes_it(self) -> None:
        rig = Rig()
        for k in range(17):
            rig.send(f"G1 X{k + 1} F60")
        assert len(rig.firmware.executed) == 15
        rig.wait(1.5)
        assert len(rig.firmware.executed) == 16
        assert rig.firmware.executed[15].t == pytest.approx(rig.firmware.executed[14].t + 1.0, abs=0.15)

    def test_a_host_can_do_without_the_list(self) -> None:
        rig = Rig(keep_executed=False)
        rig.send("G21")
        assert rig.firmware.executed == []
        assert rig.firmware.statistics.executed == 1


class TestSummary:
    def test_digest_over_job_lines(self) -> None:
        rig = Rig()
        rig.send(framed(100, "M110 N100"))
        job = [f"M73 P{k % 100} R{k}" for k in range(1500)]
        for k, text in enumerate(job):
            rig.send(framed(101 + k, text))
            if k % 100 == 0:
                rig.send("M105")
        expected = hashlib.sha256("\n".join(job).encode()).hexdigest()
        summary = rig.firmware.summary(rig.now)
        assert summary["sha256"] == expected
        (record,) = [p for p in summary["prints"] if p["base"] == 100]  # type: ignore[attr-defined]
        assert (record["sha256"], record["lines"]) == (expected, 1500)
        assert summary["last_line"] == 1600
        assert summary["job_lines"] == 1500
        assert json.loads(json.dumps(summary)) == summary

    def test_counters(self) -> None:
        rig = Rig()
        rig.send(framed(1, "G21"))
        rig.send(framed(1, "G21"))
        rig.send("N2 G21*0")
        rig.send("G21")
        summary = rig.firmware.summary(rig.now)
        names = ("lines_received", "lines_executed", "lines_rejected", "resends", "duplicates", "bytes_lost")
        assert [summary[name] for name in names] == [4, 2, 1, 1, 1, 0]

    def test_events_name_what_happened(self) -> None:
        rig = Rig()
        rig.send("M140 S60")
        rig.send("G28 X")
        rig.wait(30)
        rig.firmware.close_port(rig.now)
        rig.firmware.open_port(rig.now)
        rig.firmware.reset(rig.now)
        rig.send("M112")
        names = [event["event"] for event in rig.firmware.ledger.events]
        assert names == ["boot", "heater", "home", "port_close", "port_open", "reset", "boot", "kill", "stop"]

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=8), max_size=40))
    def test_the_line_digest_joins_with_line_feeds(self, lines: list[bytes]) -> None:
        digest = LineDigest()
        for k, line in enumerate(lines):
            digest.add(line)
            if k % 7 == 0:
                digest.hexdigest()
        assert digest.hexdigest() == hashlib.sha256(b"\n".join(lines)).hexdigest()
