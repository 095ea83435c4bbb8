"""What a firmware was compiled with: the same dialect in its builds."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from agent.sim.builds import FEATURE_OF, Feature, UnknownBuildError
from agent.sim.cli import BUILD_NAMES, simulate
from agent.sim.dialects import DIALECTS, dialect_named
from tests.unit.sim.firmware_rig import Rig, framed

PROMPT = [
    "//action:prompt_end",
    "//action:prompt_begin {}",
    "//action:prompt_button Continue",
    "//action:prompt_show",
]


def unknown(command: str) -> list[str]:
    return [f'echo:Unknown command: "{command}"', "ok"]


def test_builds_that_a_dialect_does_not_have_are_refused() -> None:
    with pytest.raises(UnknownBuildError, match=r"marlin-1\.1 has no build 'host'; there are full, default"):
        dialect_named("marlin-1.1", "host")
    with pytest.raises(UnknownBuildError, match="klipper has no build 'full'; there are none"):
        dialect_named("klipper", "full")
    result = CliRunner().invoke(simulate, ["--dialect", "repetier", "--build", "host"])
    assert result.exit_code == 2
    assert "repetier has no build 'host'" in result.output


def test_the_usual_build_comes_first_and_the_command_line_knows_all_names() -> None:
    for dialect in DIALECTS.values():
        assert set(dialect.builds) <= set(BUILD_NAMES)
        if dialect.builds:
            assert next(iter(dialect.builds.values())) == dialect.features


class TestCommands:
    @pytest.mark.parametrize("code", sorted(FEATURE_OF))
    def test_the_default_build_knows_no_command_of_an_option(self, code: str) -> None:
        assert Rig(build="default").send(code) == unknown(code)

    def test_the_full_build_knows_them(self) -> None:
        rig = Rig()
        for code in ("G20", "M73 P5", "M154 S0", "M300 P1", "M304", "M420", "M486", "M876 S0", "M900"):
            rig.send(code)
            rig.wait(0.1)
        assert rig.send("M412") == unknown("M412"), "it has no filament sensor"
        assert not any("Unknown" in text for text in rig.wait(5.0))

    @pytest.mark.parametrize("code", ["M31", "M75", "M77", "M81", "M111", "M119", "M302", "M500", "M999 S1"])
    def test_what_every_build_has(self, code: str) -> None:
        lines = Rig(build="default").send(code)
        assert lines[-1] == "ok"
        assert not any("Unknown" in line for line in lines)

    def test_m0_needs_something_that_ends_the_wait(self) -> None:
        assert Rig(build="default").send("M0 text") == unknown("M0 text")
        assert Rig(build="default", emergency_parser=True).send("M0 text") == ["echo:text"]


class TestWords:
    def test_capabilities_follow_the_build(self) -> None:
        default, host, full = (Rig(build=name).send("M115") for name in ("default", "host", "full"))
        assert [sum(line.startswith("Cap:") for line in lines) for lines in (default, host, full)] == [36] * 3
        for name in ("EMERGENCY_PARSER", "HOST_ACTION_COMMANDS", "PROMPT_SUPPORT", "AUTOREPORT_POS"):
            assert f"Cap:{name}:0" in default
            assert f"Cap:{name}:1" in host
            assert f"Cap:{name}:1" in full
        assert "Cap:Z_PROBE:0" in host
        assert "Cap:Z_PROBE:1" in full
        assert any(line.startswith("area:") for line in full)
        assert not any(line.startswith("area:") for line in host)

    def test_the_greeting_of_the_default_build(self) -> None:
        lines = Rig(build="default").boot_text.splitlines()
        assert lines[6] == "echo:Hardcoded Default Settings Loaded"
        assert lines[-1] == "echo:  M301 P22.20 I1.08 D114.00"
        assert not any(line.startswith("//action") for line in lines)

    def test_the_greeting_of_a_build_with_prompts(self) -> None:
        lines = Rig(build="host").boot_text.splitlines()
        assert lines[6:8] == [
            "//action:notification Hardcoded Default Settings Loaded",
            "echo:Hardcoded Default Settings Loaded",
        ]
        assert lines[-1] == "//action:prompt_end"

    def test_m0_is_echoed_where_there_is_no_display(self) -> None:
        rig = Rig(build="host")
        rig.firmware.receive(b"M0 msg\n", rig.now)
        assert rig.firmware.transmit(rig.now).startswith(b"echo:msg\r\n//action:prompt_end\n")
        full = [line.format("msg") for line in PROMPT]
        assert Rig(build="full").send("M0 msg") == full
        assert Rig(build="host").send("M1") == [line.format("M1 Stop") for line in PROMPT]

    def test_only_host_actions_announce_the_end_of_power(self) -> None:
        halt = ["echo:M112 Shutdown", "Error:Printer halted. kill() called!"]
        assert Rig(build="default").send("M112") == halt
        assert Rig(build="host").send("M112") == [*halt, "//action:poweroff"]

    def test_an_eeprom_is_told_of_at_boot_and_answers_m500(self) -> None:
        rig = Rig(dialect="marlin-1.1")
        assert "echo:V55 stored settings retrieved (637 bytes; crc 58123)" in rig.boot_text.splitlines()
        assert rig.send("M500") == ["echo:Settings Stored (637 bytes; crc 58123)", "ok"]
        assert rig.send("M501")[0] == "echo:V55 stored settings retrieved (637 bytes; crc 58123)"
        assert rig.send("M502") == ["echo:Hardcoded Default Settings Loaded", "ok"]
        assert Rig(dialect="marlin-1.1", build="default").send("M500") == ["Error:EEPROM disabled", "ok"]


class TestEmergencyParser:
    def test_without_one_a_numbered_m112_waits_for_its_turn(self) -> None:
        rig = Rig(build="default")
        rig.send("G4 S5")
        assert rig.send(framed(1, "M112")) == []
        assert rig.wait(6)[-3:] == ["ok", "echo:M112 Shutdown", "Error:Printer halted. kill() called!"]

    def test_without_one_a_bare_m112_behind_a_full_queue_waits_for_room(self) -> None:
        rig = Rig(build="default")
        rig.send("G4 S9\nG21\nG21\nG21\nG21")
        assert rig.send("M112") == []
        assert rig.wait(8.9) == ["echo:busy: processing"] * 4
        lines = rig.wait(1.0)
        assert lines[:2] == ["ok", "ok"], "two commands are done before there is room to read so far"
        assert lines[-2:] == ["echo:M112 Shutdown", "Error:Printer halted. kill() called!"]

    def test_the_option_adds_it_to_any_build(self) -> None:
        rig = Rig(build="default", emergency_parser=True)
        assert "Cap:EMERGENCY_PARSER:1" in rig.send("M115")
        rig.send("G4 S5")
        assert rig.send(framed(1, "M112"))[0] == "echo:M112 Shutdown"
        assert Feature.EMERGENCY_PARSER not in dialect_named("marlin-2.1", "default").features
