from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.storage.names import MAX_NAME_CHARS, display_name, guess_format


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("benchy.gcode", "benchy.gcode"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\part.gcode", "part.gcode"),
        ("/", "unnamed"),
        ("", "unnamed"),
        (".", "unnamed"),
        ("..", "unnamed"),
        ("...", "unnamed"),
        ("a/..", "unnamed"),
        ("   ", "unnamed"),
        (".hidden.gcode", "hidden.gcode"),
        ("one\ntwo.gcode", "one two.gcode"),
        ("a\x00b\x1b[31mc.gcode", "ab[31mc.gcode"),
        ("invoice\u202eedocg.exe", "invoiceedocg.exe"),
        ("zero\u200bwidth.gcode", "zerowidth.gcode"),
        ("two   spaces\t.gcode", "two spaces .gcode"),
        ("Gehäuse für Böden.gcode", "Gehäuse für Böden.gcode"),
        ("u\u0308ber.gcode", "über.gcode"),
        ("lone\ud800surrogate.gcode", "lonesurrogate.gcode"),
    ],
)
def test_display_names(raw: str, shown: str) -> None:
    assert display_name(raw) == shown


def test_a_long_name_keeps_its_extension() -> None:
    name = display_name("x" * 500 + ".gcode")
    assert len(name) == MAX_NAME_CHARS
    assert name.endswith("….gcode")
    assert len(display_name("y" * 500)) == MAX_NAME_CHARS


@given(st.text(max_size=300))
def test_every_name_is_safe_to_show(raw: str) -> None:
    name = display_name(raw)
    assert 0 < len(name) <= MAX_NAME_CHARS
    assert name not in (".", "..")
    assert "/" not in name
    assert "\\" not in name
    assert name == name.strip()
    assert all(unicodedata.category(char)[0] != "C" for char in name)
    assert len(name.splitlines()) == 1


@given(st.text(max_size=300))
def test_reducing_twice_changes_nothing(raw: str) -> None:
    assert display_name(display_name(raw)) == display_name(raw)


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.gcode", b"G28\n", "gcode"),
        ("a.GCO", b"G28\n", "gcode"),
        ("a.stl", b"solid x", "stl"),
        ("a.gcode", b"PK\x03\x04....", "3mf"),
        ("a.gcode", b"GCDE\x01", "bgcode"),
        ("a.obj", b"v 0 0 0", "obj"),
        ("a", b"ply\nformat ascii", "ply"),
        ("a.exe", b"MZ", "unknown"),
        ("", b"", "unknown"),
        ("gcode", b"", "gcode"),
    ],
)
def test_format_hints(name: str, head: bytes, expected: str) -> None:
    assert guess_format(name, head) == expected
