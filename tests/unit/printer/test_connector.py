"""Finding, opening and greeting a printer on real pseudo-terminals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.errors import PortError
from agent.domain.printer import FirmwareInfo
from agent.printer import connector as connector_module
from agent.printer.connector import Connector
from agent.printer.dialects import by_name
from agent.printer.handshake import Answered, bauds
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize
from tests.unit.printer.port_peers import Terminal, needs_odd_rates
from tests.unit.printer.prepared_files import answered, profile
from tests.unit.printer.sim_printer import SimPrinter


@pytest.fixture
def printer(tmp_path: Path) -> Iterator[SimPrinter]:
    made = SimPrinter()
    yield made
    made.close()


def link_to(printer: SimPrinter, folder: Path) -> str:
    """A stable name for the printer's present pseudo-terminal, as udev makes them."""
    port = printer.plug()
    name = os.ttyname(port.fileno())
    port.close()
    link = folder / "port"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    return str(link)


def test_a_printer_is_found_named_and_set_up(printer: SimPrinter, tmp_path: Path) -> None:
    connector = Connector(link_to(printer, tmp_path), 115200, profile())
    transcript = Transcript()
    port, answer = connector.connect(transcript)
    try:
        assert answer.dialect.name == "marlin"
        assert answer.last_line == 0
        assert port.baud == 115200
        sent = [entry.text for entry in transcript.tail(200) if entry.direction == ">"]
        assert sent[sent.index("M113 S1") :] == ["M113 S1", "M155 S1", "M105", "M0 P400000", "M108"]
        assert connector.reports_by_itself(answer)
        assert connector.model_speed(answer) == 200.0
    finally:
        port.close()


def test_what_was_learnt_shortens_the_next_connection(printer: SimPrinter, tmp_path: Path) -> None:
    connector = Connector(link_to(printer, tmp_path), None, profile())
    port, _ = connector.connect(Transcript())
    port.close()
    connector.spec = link_to(printer, tmp_path)
    transcript = Transcript()
    port, answer = connector.connect(transcript, known_only=True)
    port.close()
    assert answer.dialect.name == "marlin"


def test_a_forced_dialect_is_obeyed(printer: SimPrinter, tmp_path: Path) -> None:
    connector = Connector(link_to(printer, tmp_path), 115200, profile(), "klipper")
    port, answer = connector.connect(Transcript())
    port.close()
    assert answer.dialect.name == "klipper"


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(PortError) as caught:
        Connector("auto", None, profile(), "merlin")
    assert caught.value.code == "port_unsupported"


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PortError) as caught:
        Connector(str(tmp_path / "nothing"), 115200, profile()).connect(Transcript())
    assert caught.value.code == "port_missing"


@needs_odd_rates
def test_silence_names_the_rates_that_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_module, "FIRST_PATIENCE_S", 0.05)
    monkeypatch.setattr(connector_module, "NEXT_PATIENCE_S", 0.05)
    monkeypatch.setattr(bauds, "COMMON_BAUDS", (57600,))
    terminal = Terminal()
    try:
        with pytest.raises(PortError) as caught:
            Connector(terminal.path, None, profile(bauds=(115200, 250000))).connect(Transcript())
    finally:
        terminal.hang_up()
    assert caught.value.code == "port_silent"
    assert "115200, 250000, 57600" in caught.value.message
    assert caught.value.remedy


def test_a_halted_board_is_told_apart(tmp_path: Path) -> None:
    halted = SimPrinter(dialect="smoothieware")
    try:
        halted.do(lambda firmware, now: firmware.receive(b"M112\n", now))
        with pytest.raises(PortError) as caught:
            Connector(link_to(halted, tmp_path), 115200, profile()).connect(Transcript())
    finally:
        halted.close()
    assert caught.value.code == "printer_halted"


def test_the_window_is_the_profiles_before_the_dialects() -> None:
    answer = answered()
    assert Connector("auto", None, profile()).window(answer) == WindowSize(3, answer.dialect.window_bytes)
    wide = Connector("auto", None, profile(window_lines=12, window_bytes=900)).window(answer)
    assert (wide.lines, wide.bytes) == (12, 900)


def test_reporting_by_itself_needs_the_capability_and_a_command() -> None:
    connector = Connector("auto", None, profile())
    assert connector.reports_by_itself(answered(AUTOREPORT_TEMP=True))
    assert not connector.reports_by_itself(answered())
    klipper = by_name("klipper")
    assert klipper is not None
    assert not connector.reports_by_itself(answered(None, klipper, AUTOREPORT_TEMP=True))


@pytest.mark.parametrize(
    ("field", "speed"),
    [("30", 30.0), ("0.1", 1.0), ("fast", 1.0), (None, 1.0), ("nan", 1.0), ("inf", 1.0), ("1e9", 1.0)],
)
def test_only_the_virtual_printer_may_be_faster_than_life(field: str | None, speed: float) -> None:
    fields = {} if field is None else {"MODEL_SPEED": field}
    marlin = by_name("marlin")
    assert marlin is not None
    answer = Answered(dialect=marlin, firmware=FirmwareInfo(fields=fields))
    assert Connector("auto", None, profile()).model_speed(answer) == speed
    assert Connector("auto", None, profile()).model_speed(Answered(dialect=marlin, firmware=None)) == 1.0


def test_the_search_for_a_silent_board_ends_when_the_daemon_stops() -> None:
    silent = Terminal()
    connector = Connector(silent.path, 115200, profile())
    connector.give_up()
    with pytest.raises(PortError, match="the daemon is stopping"):
        connector.connect(Transcript())
    os.close(silent.master)
