"""What connecting leaves for the next time, and what it does with what the last time has left."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import PortError
from agent.printer.connector import Connector
from agent.printer.framing import set_number
from agent.printer.handshake import Answered
from agent.printer.learned import LearnedPrinter
from agent.printer.port import Port, open_port
from agent.printer.stop_path import UNTESTED, EmergencyParser, StopPath
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize
from tests.unit.printer.port_peers import Terminal
from tests.unit.printer.prepared_files import profile
from tests.unit.printer.sim_printer import SimPrinter
from tests.unit.printer.test_connector import link_to
from tests.unit.printer.test_kept_ports import Store

ABSENT = StopPath(EmergencyParser.ABSENT, tested=True)


@contextlib.contextmanager
def printer(**settings: Any) -> Iterator[SimPrinter]:
    made = SimPrinter(**settings)
    try:
        yield made
    finally:
        made.close()


def connect(connector: Connector, **how: Any) -> tuple[Port, Answered, list[str]]:
    """Connect; also returns what was said to the printer."""
    transcript = Transcript()
    port, answer = connector.connect(transcript, **how)
    return port, answer, [entry.text for entry in transcript.tail(400) if entry.direction == ">"]


def again(connector: Connector, board: SimPrinter, folder: Path, **how: Any) -> list[str]:
    """Connect once more on a fresh plug; returns what was said."""
    link_to(board, folder)
    port, _, sent = connect(connector, **how)
    connector.let_go()
    port.close()
    return sent


def test_the_stop_path_is_tested_once_and_again_on_demand(tmp_path: Path) -> None:
    with printer() as board:
        connector = Connector(link_to(board, tmp_path), 115200, profile())
        assert "M108" in again(connector, board, tmp_path)
        assert connector.learned is not None
        assert connector.learned.stop.parser is EmergencyParser.PROVEN
        assert connector.warnings() == []
        assert "M108" not in again(connector, board, tmp_path)
        connector.want_stop_test()
        assert "M108" in again(connector, board, tmp_path)
        assert "M108" not in again(connector, board, tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"deaf_parser": True}, "does not act"), ({"emergency_parser": False}, "has no emergency parser")],
)
def test_a_maker_is_told_that_a_stop_has_to_wait(
    tmp_path: Path, settings: dict[str, bool], words: str
) -> None:
    with printer(**settings) as board:
        connector = Connector(link_to(board, tmp_path), 115200, profile())
        port, answer, sent = connect(connector)
        port.close()
        assert connector.learned is not None
        assert connector.learned.stop == ABSENT
        assert words in connector.warnings()[0]
        assert ("M108" in sent) == bool(settings.get("deaf_parser"))
        assert connector.window(answer) == WindowSize(3, 120), "a slot is left for the stop"


def test_a_print_that_is_to_be_taken_over_is_left_alone(tmp_path: Path) -> None:
    with printer() as board:
        connector = Connector(link_to(board, tmp_path), 115200, profile(), takeover_expected=True)
        assert "M108" not in again(connector, board, tmp_path)
        assert "M108" not in again(connector, board, tmp_path, known_only=True)
        assert connector.learned is not None
        assert connector.learned.stop == UNTESTED
        assert "M108" in again(connector, board, tmp_path), "the print is over"


def test_a_print_under_way_is_never_tried_out_on(tmp_path: Path) -> None:
    with printer() as board:
        connector = Connector(link_to(board, tmp_path), 115200, profile())
        connector.want_stop_test()
        assert "M108" not in again(connector, board, tmp_path, known_only=True)


def test_advanced_oks_tell_the_slots(tmp_path: Path) -> None:
    with printer(advanced_ok=True, slots=16) as board:
        connector = Connector(link_to(board, tmp_path), 115200, profile())
        port, answer, _ = connect(connector)
        port.close()
        assert connector.learned is not None
        assert connector.learned.slots == 16
        assert connector.window(answer) == WindowSize(16, 120)


def test_a_wide_window_that_loses_lines_is_given_up(tmp_path: Path) -> None:
    with printer(advanced_ok=True, slots=16) as board:
        connector = Connector(link_to(board, tmp_path), 115200, profile())
        port, answer, _ = connect(connector)
        wide = connector.window(answer)
        port.close()
        connector.let_go(lines_lost=2, size=wide)
        assert connector.window(answer) == wide
        connector.let_go(lines_lost=2, size=wide)
        assert connector.window(answer) == WindowSize(4, 120)
        connector.let_go(lines_lost=9, size=connector.window(answer))
        assert connector.learned is not None
        assert connector.learned.losses == 4, "losses in the usual window say nothing about a wide one"


def test_what_was_learned_long_ago_is_asked_about_again(tmp_path: Path) -> None:
    with printer() as board:
        spec = link_to(board, tmp_path)
        connector = Connector(spec, None, profile())
        port, answer, _ = connect(connector)
        port.close()
        known = connector.learned
        assert known is not None
        assert answer.firmware is not None

        later = Connector(spec, None, profile(bauds=(250000,)))
        other = replace(answer.firmware, name="Marlin 2.1.1 (older)")
        later.memory.learn(replace(known, baud=500000, firmware=other, slots=16, losses=7))
        link_to(board, tmp_path)
        port, _, sent = connect(later)
        port.close()
        assert port.baud == 500000, "the remembered rate is tried first"
        assert "M115" in sent, "another board may hang on this port by now"
        assert later.learned is not None
        assert (later.learned.slots, later.learned.losses) == (None, 0), "another firmware: all else is void"
        assert later.learned.stop.parser is EmergencyParser.PROVEN


def test_an_adopted_port_is_not_asked_for_its_name(tmp_path: Path) -> None:
    store = Store()
    with printer() as board:
        spec = link_to(board, tmp_path)
        first = Connector(spec, None, profile(), kept=store.ports())
        port, _, _ = connect(first)
        port.close()  # the daemon was killed

        second = Connector(spec, None, profile(), kept=store.ports())
        assert first.learned is not None
        second.memory.learn(first.learned)
        port, answer, sent = connect(second)
        assert [line for line in sent if line and not line.startswith("N999999999")] == []
        assert answer.firmware == first.learned.firmware
        assert answer.last_line == 0
        second.let_go()
        port.close()
        assert store.kept == {}


def test_an_adopted_board_that_was_reset_meanwhile_is_met_anew(tmp_path: Path) -> None:
    store = Store()
    with printer() as board:
        spec = link_to(board, tmp_path)
        first = Connector(spec, None, profile(), kept=store.ports())
        port, _, _ = connect(first)
        port.close()
        board.do(lambda firmware, now: firmware.reset(now))
        second = Connector(spec, None, profile(), kept=store.ports())
        assert first.learned is not None
        second.memory.learn(first.learned)
        port, answer, sent = connect(second)
        assert answer.restarted
        assert {"M115", "M113 S1", "M155 S1"} <= set(sent)
        second.let_go()
        port.close()


def test_an_adopted_port_that_stays_silent_is_opened_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("agent.printer.connector.FIRST_PATIENCE_S", 0.05)
    monkeypatch.setattr("agent.printer.connector.NEXT_PATIENCE_S", 0.05)
    store = Store()
    terminal = Terminal()
    silent = Connector(terminal.path, 115200, profile(), kept=store.ports())
    with pytest.raises(PortError):
        silent.connect(Transcript())
    assert store.kept == {}, "only a printer that answers is kept"

    port = open_port(terminal.path, 115200)
    store.ports().keep(port)
    port.close()
    transcript = Transcript()
    with pytest.raises(PortError) as caught:
        Connector(terminal.path, 115200, profile(), kept=store.ports()).connect(transcript)
    assert caught.value.code == "port_silent"
    assert store.kept == {}
    terminal.hang_up()


def test_a_port_that_has_gone_releases_what_was_kept(tmp_path: Path) -> None:
    store = Store()
    store.kept["port-115200-" + "0" * 32] = os.open(tmp_path, os.O_RDONLY)
    connector = Connector(str(tmp_path / "gone"), 115200, profile(), kept=store.ports())
    with pytest.raises(PortError):
        connector.connect(Transcript())
    assert store.kept == {}


@pytest.mark.parametrize("last", [51710, 51711, 51712, 65535, 103])
def test_repetiers_counter_is_read_wherever_it_stands(tmp_path: Path, last: int) -> None:
    """The probe's number modulo 65536 is 51711: it must not be executed when just that one is expected."""
    with printer(dialect="repetier") as board:
        board.do(lambda firmware, now: setattr(firmware.board.counter, "last", last))
        connector = Connector(link_to(board, tmp_path), 115200, profile())
        port, answer, _ = connect(connector)
        port.close()
        assert (answer.dialect.name, answer.last_line) == ("repetier", last)
        assert board.last_line() == last
        known = connector.learned
        assert isinstance(known, LearnedPrinter)
        assert known.stop.parser is not EmergencyParser.PROVEN


def test_nothing_unnumbered_is_sent_to_a_printer_in_the_middle_of_a_print(tmp_path: Path) -> None:
    """One wrong bit makes `M112` of `M113`, and no checksum tells."""
    with printer() as board:
        first = Connector(link_to(board, tmp_path), 115200, profile())
        said = again(first, board, tmp_path)
        assert {"M115", "M113 S1"} <= set(said)
        board.do(lambda firmware, now: firmware.receive(set_number(20_500), now))
        after_kill = Connector(first.spec, 115200, profile(), memory=first.memory, takeover_expected=True)
        said = again(after_kill, board, tmp_path)
        assert [text for text in said if text and not text.startswith("N999999999")] == []
