"""Handshakes with every kind of firmware, and with strangers."""

from __future__ import annotations

import pytest

from agent.printer.dialects import MARLIN_2, Dialect, by_name
from agent.printer.handshake import Answered, baud_candidates
from agent.printer.handshake.answers import line_number
from tests.unit.printer.handshake_boards import FIRMWARE, KLIPPER, Marlin, Simple, answered, meet


def test_klipper() -> None:
    result, took_s = meet(Simple(KLIPPER, blank_ok=True))
    assert isinstance(result, Answered)
    assert (result.dialect.name, result.last_line) == ("klipper", None)
    assert took_s < 1
    again = answered(Simple(KLIPPER, blank_ok=True), remembered=by_name("klipper"), firmware=FIRMWARE)
    assert again.dialect.name == "klipper"


class Duet(Simple):
    """Counts every line, numbered or not, and answers M409."""

    def __init__(self, last: int) -> None:
        name = b"FIRMWARE_NAME: RepRapFirmware for Duet 3 FIRMWARE_VERSION: 3.5.1 ELECTRONICS: Duet 3 Mini"
        super().__init__({b"M115": (name, b"ok")})
        self.last = last

    def hear(self, line: bytes, now: float) -> None:
        self.last += 1
        if line.startswith(b"M409"):
            self.say(
                now, b'{"key":"inputs[].lineNumber","flags":"","result":[0,0,0,%d,0]}' % self.last, b"ok"
            )
        else:
            super().hear(line, now)


@pytest.mark.parametrize("known", [{}, {"remembered": by_name("reprap"), "firmware": FIRMWARE}])
def test_reprapfirmware_is_asked_by_its_object_model(known: dict[str, object]) -> None:
    board = Duet(last=500)
    result = answered(board, **known)
    assert result.dialect.name == "reprap"
    assert result.last_line == 500
    assert not any(line.startswith(b"N") for line in board.heard)


def test_an_old_reprapfirmware_has_no_object_model() -> None:
    table = {
        b"M115": (b"FIRMWARE_NAME: RepRapFirmware for Duet 2 FIRMWARE_VERSION: 2.05", b"ok"),
        b'M409 K"inputs[].lineNumber"': (b"Error: Bad command: M409", b"ok"),
    }
    result, took_s = meet(Simple(table))
    assert isinstance(result, Answered)
    assert (result.dialect.name, result.last_line) == ("reprap", None)
    assert took_s < 1


def test_smoothieware_refuses_without_an_ok_and_greets_everybody() -> None:
    table = {
        b"M115": (b"FIRMWARE_NAME:Smoothieware, FIRMWARE_VERSION:edge, X-AXES:5", b"ok"),
        b"N999999999 M105*46": (b"rs N24",),
    }
    board = Simple(table, blank_ok=True)
    board.say(0.01, b"Smoothie", b"ok")
    result = answered(board)
    assert (result.dialect.name, result.last_line) == ("smoothie", 23)
    assert result.greeting == "Smoothie"
    assert not result.restarted


def test_repetier_acknowledges_before_it_answers() -> None:
    name = b"FIRMWARE_NAME:Repetier_1.0.4 FIRMWARE_URL:x PROTOCOL_VERSION:1.0"
    table = {
        b"M115": (
            b"ok 0",
            name,
            b"Cap:AUTOREPORT_TEMP:1",
            b"Printed filament:4720.39m Printing time:49 days",
        ),
        b"N999999999 M105*1": (b"Error:Wrong checksum", b"", b"Resend:104", b"ok"),
    }
    result = answered(Simple(table))
    assert (result.dialect.name, result.last_line) == ("repetier", 103)
    assert result.firmware is not None
    assert result.firmware.capabilities == {"AUTOREPORT_TEMP": True}


def test_a_stranger_with_marlins_manners() -> None:
    result = answered(Marlin(last=9, name=b"NAME: Malyan VER: 2.9 MODEL: M200 HW: HA02"))
    assert result.dialect is MARLIN_2
    assert result.last_line == 9
    assert result.firmware is not None
    assert result.firmware.machine == "M200"


def test_a_stranger_without_numbers_is_generic() -> None:
    result, took_s = meet(Simple({b"M115": (b"FIRMWARE_NAME:Whatever",), b"M105": (b"ok T:20 /0",)}))
    assert isinstance(result, Answered)
    assert (result.dialect.name, result.last_line) == ("generic", None)
    assert took_s < 6


@pytest.mark.parametrize("answer", [(b"ok",), (b'echo:Unknown command: "M115"', b"ok")])
def test_a_board_without_m115_is_found_by_m105(answer: tuple[bytes, ...]) -> None:
    result = answered(Simple({b"M115": answer, b"M105": (b"ok T:20.0 /0.0 B:19.0 /0.0",)}))
    assert (result.dialect.name, result.firmware) == ("generic", None)
    assert not result.busy


def test_a_forced_dialect_stays() -> None:
    forced = by_name("marlin_20")
    assert isinstance(forced, Dialect)
    result = answered(Marlin(last=3), forced=forced)
    assert result.dialect is forced
    assert result.last_line == 3


def test_another_firmware_than_remembered_is_recognised() -> None:
    result = answered(Simple(KLIPPER, blank_ok=True), remembered=MARLIN_2, firmware=FIRMWARE)
    assert result.dialect.name == "klipper"
    assert result.firmware is not None
    assert result.firmware.name == "Klipper"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('{"key":"inputs[].lineNumber","flags":"","result":[0,0,0,12,0]}', 12),
        ('{"key":"inputs[3].lineNumber","flags":"","result":7}', 7),
        ('{"key":"inputs[].lineNumber","flags":"","result":[]}', None),
        ('{"key":"inputs[].lineNumber","flags":"","result":null}', None),
        ('{"key":"inputs[].lineNumber","flags":"","result":true}', None),
        ("{}", None),
        ("{nonsense}", None),
        ('{"a":' + "[" * 3000 + "]" * 3000 + "}", None),
    ],
)
def test_line_numbers_of_the_object_model(text: str, number: int | None) -> None:
    assert line_number(text) == number


def test_baud_rates_to_try() -> None:
    assert baud_candidates(250000, (115200,), 500000) == (250000,)
    assert baud_candidates("auto", (250000, 115200), 500000)[:3] == (500000, 250000, 115200)
    rates = baud_candidates("auto")
    assert rates[0] == 115200
    assert len(set(rates)) == len(rates)


class Mishearing(Simple):
    """Takes the first `M115` for another command: one bit of it was wrong."""

    asked = 0

    def hear(self, line: bytes, now: float) -> None:
        if line == b"M115":
            self.asked += 1
            if self.asked == 1:
                self.say(now, b'echo:Unknown command: "115"', b"ok")
                return
        super().hear(line, now)


def test_a_question_damaged_on_its_way_is_asked_again() -> None:
    board = Mishearing({b"M115": (b"FIRMWARE_NAME:Marlin 2.1.2.1 (x)", b"ok"), b"M105": (b"ok T:20.0 /0.0",)})
    assert answered(board).dialect.name == "marlin"
    assert board.asked == 2
