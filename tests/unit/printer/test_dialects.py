"""Recognising firmwares, and what the dialects promise the engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.printer import FirmwareInfo
from agent.printer.dialects import DIALECTS, GENERIC, MARLIN_2, PROBE_COMMAND, Counter, by_name, identify
from agent.printer.dialects.base import BadLine, Dialect, Duplicate
from agent.printer.framing import IMPOSSIBLE_LINE, frame
from agent.printer.replies import Greeting, parse_line


@pytest.mark.parametrize(
    ("firmware_name", "dialect"),
    [
        ("Marlin bugfix-2.1.x (Jul 30 2024 12:00:00)", "marlin"),
        ("Marlin 2.1.2 (Dec 30 2022 09:32:44)", "marlin"),
        ("Marlin 2.1.2.4 (Jan 1 2024)", "marlin"),
        ("Marlin 2.1.1 (Aug 6 2022)", "marlin_20"),
        ("Marlin 2.1", "marlin_20"),
        ("Marlin bugfix-2.0.x (Nov 22 2026 08:27:09)", "marlin_20"),
        ("Marlin 2.0.7.2 (Nov 27 2020 14:30:11)", "marlin_20"),
        ("Marlin Ver 2.0.8.2 (Oct 2021)", "marlin_20"),
        ("Marlin 3.0.0", "marlin"),
        ("Marlin 1.1.0-RC8 (Github)", "marlin_1"),
        ("Marlin 1.1.0 From Archive", "marlin_1"),
        ("Marlin V1.0.1; Sprinter/grbl mashup for gen6", "marlin_1"),
        ("Marlin Creality 3D", "marlin"),
        ("Prusa-Firmware 3.8.1 based on Marlin", "prusa"),
        ("Prusa-Firmware-Buddy 6.3.0+10073 (Github)", "buddy"),
        ("RepRapFirmware for Duet 3 MB6HC", "reprap"),
        ("Repetier_0.91", "repetier"),
        ("Repetier_1.0.4", "repetier"),
        ("Smoothieware", "smoothie"),
        ("Klipper", "klipper"),
        ("V1.0 CBD make it (Marlin)", "cbd"),
        ("ZWLF make it", "cbd"),
        ("Malyan", "generic"),
        ("", "generic"),
    ],
)
def test_firmware_names(firmware_name: str, dialect: str) -> None:
    assert identify(FirmwareInfo(name=firmware_name)).name == dialect


@pytest.mark.parametrize(
    ("line", "dialect"),
    [
        (b"// Klipper state: Ready", "klipper"),
        (b"RepRapFirmware for Duet 2 WiFi/Ethernet is up and running.", "reprap"),
        (b"Smoothie", "smoothie"),
        (b"start", "generic"),
    ],
)
def test_greetings(line: bytes, dialect: str) -> None:
    (greeting,) = parse_line(line)
    assert isinstance(greeting, Greeting)
    assert identify(None, greeting.text).name == dialect


def test_a_name_counts_more_than_a_greeting() -> None:
    assert identify(FirmwareInfo(name="Klipper"), "Smoothie").name == "klipper"


def test_a_stranger_with_marlins_manners_is_treated_as_marlin() -> None:
    assert identify(FirmwareInfo(name="Malyan"), "start", answers_probe=True) is MARLIN_2
    assert identify(FirmwareInfo(name="Klipper"), "", answers_probe=True).name == "klipper"
    assert identify(None, "Marlin 1.0.0") is by_name("marlin_1")


@given(st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_any_name_gives_a_dialect(name: str, greeting: str, answers_probe: bool) -> None:
    assert identify(FirmwareInfo(name=name), greeting, answers_probe=answers_probe) in DIALECTS


def test_names_are_unique_and_found() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)
    for dialect in DIALECTS:
        assert by_name(dialect.name) is dialect
    assert by_name("dos") is None


def test_the_probe_is_well_formed() -> None:
    assert frame(IMPOSSIBLE_LINE, b"M105") == PROBE_COMMAND + b"\n"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_dialect_does_not_contradict_itself(dialect: Dialect) -> None:
    assert dialect.window_lines >= 1
    assert dialect.window_bytes >= (dialect.max_line or 0) + 1 or dialect.window_lines > 1
    assert (dialect.counter is None) == (dialect.probe_command is None)
    if dialect.checked:
        assert dialect.numbered
    if dialect.counter is Counter.PROBE:
        assert dialect.set_line is not None
        assert dialect.bad_line in (BadLine.RESEND, BadLine.RESEND_OK)
        assert dialect.duplicate is not Duplicate.EXECUTED
    else:
        # Lines that could be executed twice, or vanish, go one by one.
        assert dialect.window_lines == 1
    if dialect.autoreport is not None:
        assert dialect.autoreport.format(s=2).startswith("M155 S2")
    if dialect.set_line is not None:
        assert dialect.set_line.format(n=7) == "M110 N7"


def test_nothing_is_assumed_of_an_unknown_firmware() -> None:
    assert not GENERIC.numbered
    assert not GENERIC.deadman
    assert GENERIC.window_lines == 1
