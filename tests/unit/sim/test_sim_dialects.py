"""Where the firmware families differ."""

from __future__ import annotations

import re

import pytest

from agent.sim.dialects import DIALECTS, UnknownDialectError, dialect_named
from tests.unit.sim.firmware_rig import Rig, framed

FAMILIES = sorted(DIALECTS)


def test_unknown_names_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(UnknownDialectError, match=r"no dialect 'marlin'.*marlin-2\.1"):
        dialect_named("marlin")


@pytest.mark.parametrize(
    ("dialect", "first"),
    [
        ("marlin-2.1", ["start", "PowerUp", "Marlin bugfix-2.1.x"]),
        ("marlin-2.0", ["start", "PowerUp", "Marlin 2.0.5.3", ""]),
        ("marlin-1.1", ["start", "PowerUp", "Marlin 1.1.9", ""]),
        ("prusa-mk3", ["start", "echo: 3.14.0-8092_0a1b2c3d"]),
        ("reprapfirmware", ["RepRapFirmware for Duet 2 WiFi/Ethernet is up and running."]),
        ("repetier", ["start", "PowerUp"]),
        ("smoothieware", ["Smoothie", "ok"]),
        ("klipper", ["// Klipper state: Ready"]),
    ],
)
def test_greetings(dialect: str, first: list[str]) -> None:
    assert Rig(dialect=dialect).boot_text.splitlines()[: len(first)] == first


@pytest.mark.parametrize(
    ("dialect", "pattern"),
    [
        ("marlin-2.1", r"ok T:\d+\.\d\d /0\.00 B:\d+\.\d\d /0\.00 @:0 B@:0"),
        ("marlin-1.1", r"ok T:\d+\.\d /0\.0 B:\d+\.\d /0\.0 @:0 B@:0"),
        ("prusa-mk3", r"ok T:\d+\.\d /0\.0 B:\d+\.\d /0\.0 T0:\d+\.\d /0\.0 @:0 B@:0 P:0\.0 A:42\.8"),
        ("reprapfirmware", r"ok T:\d+\.\d /0\.0 T0:\d+\.\d /0\.0 B:\d+\.\d /0\.0"),
        ("smoothieware", r"ok T:\d+\.\d /0\.0 @0 B:\d+\.\d /0\.0 @0 "),
        ("klipper", r"ok B:\d+\.\d /0\.0 T0:\d+\.\d /0\.0"),
    ],
)
def test_m105(dialect: str, pattern: str) -> None:
    (line,) = Rig(dialect=dialect).send("M105")
    assert re.fullmatch(pattern, line)


def test_repetier_says_ok_on_receipt_and_the_data_later() -> None:
    rig = Rig(dialect="repetier")
    ok, data = rig.send(framed(1, "M105"))
    assert ok == "ok 1"
    assert re.fullmatch(r"T:\d+\.\d\d /0 B:\d+\.\d\d /0 B@:0 @:0", data)
    assert rig.send(framed(2, "G4 S5")) == ["ok 2"]
    assert rig.send("M105") == ["ok"], "the data wait for the dwell"
    assert rig.wait(10)[-1] != "ok"


@pytest.mark.parametrize("dialect", FAMILIES)
def test_m115_names_the_firmware_and_is_acknowledged(dialect: str) -> None:
    lines = Rig(dialect=dialect).send("M115")
    assert any("FIRMWARE_NAME:" in line for line in lines)
    assert sum(line.startswith("ok") for line in lines) == 1


@pytest.mark.parametrize("dialect", FAMILIES)
def test_empty_lines(dialect: str) -> None:
    answered = dialect in ("smoothieware", "klipper")
    rig = Rig(dialect=dialect)
    assert rig.send("") == (["ok"] if answered else [])
    assert rig.send("; comment") == (["ok"] if answered else [])


class TestDamagedLines:
    BAD = "N1 G21*0"

    @pytest.mark.parametrize("dialect", ["marlin-2.1", "marlin-2.0", "marlin-1.1", "prusa-mk3"])
    def test_marlin_family(self, dialect: str) -> None:
        answer = ["Error:checksum mismatch, Last Line: 0", "Resend: 1", "ok"]
        assert Rig(dialect=dialect).send(self.BAD) == answer

    def test_repetier(self) -> None:
        rig = Rig(dialect="repetier")
        assert rig.send(self.BAD) == ["Error:Wrong checksum", "", "Resend:1", "ok"]
        assert rig.send("N1 G21") == ["Error: Missing checksum", "", "Resend:1", "ok"]
        assert rig.send(framed(100, "G21")) == ["Error:expected line 1 got 100", "", "Resend:1", "ok"]

    def test_smoothie_has_no_ok(self) -> None:
        assert Rig(dialect="smoothieware").send(self.BAD) == ["rs N1"]

    def test_reprapfirmware_drops_it_silently(self) -> None:
        rig = Rig(dialect="reprapfirmware")
        assert rig.send(self.BAD) == []
        assert rig.send("N1 G21") == ["ok"]
        assert rig.texts() == ["G21"]

    def test_klipper_executes_it(self) -> None:
        rig = Rig(dialect="klipper")
        assert rig.send(self.BAD) == ["ok"]
        assert rig.texts() == ["G21"]

    def test_variants_without_ok_and_without_blank(self) -> None:
        rig = Rig(resend_ok=False, tight_resend=True)
        assert rig.send(self.BAD) == ["Error:checksum mismatch, Last Line: 0", "Resend:1"]

    def test_mk3_wants_a_number_with_a_checksum(self) -> None:
        answer = ["Error:No Line Number with checksum, Last Line: 0", "Resend: 1", "ok"]
        assert Rig(dialect="prusa-mk3").send("G21*0") == answer


class TestSeenLines:
    @pytest.mark.parametrize("dialect", FAMILIES)
    def test_a_line_sent_twice(self, dialect: str) -> None:
        rig = Rig(dialect=dialect)
        rig.send(framed(1, "G21"))
        lines = rig.send(framed(1, "G21"))
        twice = dialect in ("reprapfirmware", "klipper")
        assert rig.texts() == ["G21"] * (2 if twice else 1)
        expected = {
            "marlin-2.1": [],
            "repetier": ["skip 1", "ok"],
            "smoothieware": ["rs N2"],
            "reprapfirmware": ["ok"],
            "klipper": ["ok"],
        }
        number_error = ["Error:Line Number is not Last Line Number+1, Last Line: 1", "Resend: 2", "ok"]
        assert lines == expected.get(dialect, number_error)

    def test_repetier_counts_modulo_65536(self) -> None:
        rig = Rig(dialect="repetier")
        rig.send(framed(65534, "M110"))
        assert [rig.send(framed(n, "G21")) for n in (65535, 0, 1)] == [["ok 65535"], ["ok 0"], ["ok 1"]]

    @pytest.mark.parametrize("dialect", ["reprapfirmware", "klipper"])
    def test_numbers_are_not_checked(self, dialect: str) -> None:
        assert Rig(dialect=dialect).send(framed(500, "G21")) == ["ok"]


class TestUnknownAndCase:
    @pytest.mark.parametrize(
        ("dialect", "lines"),
        [
            ("marlin-1.1", ['echo:Unknown command: "M9999"', "ok"]),
            ("reprapfirmware", ["Error: Bad command: M9999", "ok"]),
            ("repetier", ["ok", "Unknown command:M9999"]),
            ("smoothieware", ["ok"]),
            ("klipper", ['// Unknown command:"M9999"', "ok"]),
        ],
    )
    def test_unknown_commands(self, dialect: str, lines: list[str]) -> None:
        assert Rig(dialect=dialect).send("M9999") == lines

    def test_lower_case(self) -> None:
        assert Rig(dialect="klipper").send("m105")[0].startswith("ok B:")
        assert Rig(dialect="marlin-2.1").send("m105")[0] == 'echo:Unknown command: "m105"'


class TestBusyAndWait:
    @pytest.mark.parametrize("dialect", FAMILIES)
    def test_sign_of_life(self, dialect: str) -> None:
        rig = Rig(dialect=dialect)
        rig.send("G4 S5")
        lines = rig.wait(4.5)
        busy = {"repetier": ["busy:processing"] * 2}
        silent = ("reprapfirmware", "smoothieware", "klipper")
        assert lines == ([] if dialect in silent else busy.get(dialect, ["echo:busy: processing"] * 2))

    def test_repetier_says_wait_while_idle(self) -> None:
        assert "wait" in Rig(dialect="repetier").wait(3)
        assert "wait" not in Rig(dialect="marlin-2.1").wait(3)


class TestHalt:
    @pytest.mark.parametrize("dialect", ["marlin-2.1", "marlin-2.0", "marlin-1.1", "reprapfirmware"])
    def test_silence_afterwards(self, dialect: str) -> None:
        rig = Rig(dialect=dialect)
        assert rig.send("M112")
        assert rig.send("M105") == []

    def test_mk3_starts_again_by_itself(self) -> None:
        rig = Rig(dialect="prusa-mk3")
        assert rig.send("M112") == ["Error:Printer halted. kill() called!"]
        assert rig.wait(2)[0] == "start"
        assert rig.send("M105")[0].startswith("ok T:")

    def test_mk3_takes_a_numbered_m112_on_receipt(self) -> None:
        rig = Rig(dialect="prusa-mk3")
        rig.send("G4 S100")
        assert rig.send(framed(1, "M112")) == ["Error:Printer halted. kill() called!"]

    def test_smoothie_refuses_without_ok_until_m999(self) -> None:
        rig = Rig(dialect="smoothieware")
        assert rig.send("M112") == ["ok Emergency Stop Requested - reset or M999 required to exit HALT state"]
        assert rig.send("G28") == ["!!"]
        assert rig.send("M999") == ["ok"]
        assert rig.send("G21") == ["ok"]

    def test_klipper_refuses_with_ok(self) -> None:
        rig = Rig(dialect="klipper")
        assert rig.send("M112") == ["!! Shutdown due to M112 command"]
        assert rig.send("G28") == ["!! Shutdown due to M112 command", "ok"]
        rig.send("FIRMWARE_RESTART")
        assert rig.send("G21") == ["ok"]

    def test_repetier_repeats_its_fatal_line(self) -> None:
        rig = Rig(dialect="repetier")
        ok, line = rig.send("M112")
        assert ok == "ok"
        assert line.startswith("fatal:")
        assert any(text.startswith("fatal:") for text in rig.send("G28"))


def test_old_marlin_waits_in_its_own_words() -> None:
    rig = Rig(dialect="marlin-1.1")
    rig.send("M109 S100")
    lines = rig.until_ok()
    assert any(re.fullmatch(r"T:\d+\.\d E:0 W:\?", line) for line in lines)
    assert any(re.fullmatch(r"T:\d+\.\d E:0 W:\d", line) for line in lines)


def test_m999_on_a_running_marlin_asks_again_and_says_two_oks() -> None:
    assert Rig(dialect="marlin-2.0").send("M999") == ["Resend: 1", "ok", "ok"]


def test_mk3_asks_for_unfinished_lines_after_a_crash() -> None:
    rig = Rig(dialect="prusa-mk3")
    for n in range(1, 21):
        rig.send(framed(n, f"G1 X{n} F60"))
    rig.wait(2.5)
    undone = rig.firmware.board.planner.count + 3
    assert rig.firmware.board.counter.last == 20
    rig.firmware.crash(rig.now)
    last = rig.firmware.board.counter.last
    assert 0 < last == 20 - undone
    assert rig.heard() == [f"Resend: {last + 1}", "ok"]
    assert rig.send(framed(last + 1, "G1 X1 F60")) == ["ok"]
    assert rig.events("rollback") != []


def test_other_boards_do_not_notice_a_crash() -> None:
    rig = Rig()
    rig.firmware.crash(rig.now)
    assert rig.heard() == []
