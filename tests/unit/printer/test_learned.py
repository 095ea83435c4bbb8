"""Records of printers: what outlives a restart, and what must not outlive a new firmware."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import StorageError
from agent.domain.printer import FirmwareInfo, Temperature
from agent.printer.dialects import MARLIN_2, by_name
from agent.printer.handshake import Answered
from agent.printer.learned import LearnedPrinter, learn
from agent.printer.memory import PrinterMemory
from agent.printer.stop_path import UNTESTED, EmergencyParser, StopPath, is_testable

USB = (0x0483, 0x5740)
FOUND = LearnedPrinter("usb-1", "auto", 250000, "marlin", usb=USB)
MARLIN = FirmwareInfo("Marlin 2.1.2 (Nov 1 2026)", "Rig", "u-1", {"A": "b c:d"}, {"EMERGENCY_PARSER": True})
PROVEN = StopPath(EmergencyParser.PROVEN, 3.5, tested=True)
ABSENT = StopPath(EmergencyParser.ABSENT, tested=True)
KNOWN = LearnedPrinter("usb-1", "auto", 250000, "marlin", MARLIN, 16, USB, PROVEN, losses=2)


def answer(firmware: FirmwareInfo | None = MARLIN, **changes: Any) -> Answered:
    return replace(Answered(dialect=MARLIN_2, firmware=firmware, last_line=0), **changes)


def test_a_record_comes_back_from_json() -> None:
    for learned in (KNOWN, LearnedPrinter("x", "/dev/x", 115200, "generic")):
        assert LearnedPrinter.from_json(json.loads(json.dumps(learned.to_json()))) == learned


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(KNOWN.to_json())), JSON))
def test_damaged_records_are_no_records(changes: dict[str, Any]) -> None:
    read = LearnedPrinter.from_json({**KNOWN.to_json(), **changes})
    assert read is None or isinstance(read.evidence(MARLIN_2).losses, int)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"v": 2},
        {"v": 1},
        {"window_lines": 4},
        {**KNOWN.to_json(), "baud": 1200},
        {**KNOWN.to_json(), "baud": 0},
        {**KNOWN.to_json(), "losses": -1},
    ],
    ids=str,
)
def test_records_of_others_are_no_records(document: dict[str, Any]) -> None:
    assert LearnedPrinter.from_json(document) is None


def test_the_same_firmware_keeps_what_was_learned() -> None:
    assert learn(KNOWN, FOUND, answer()) == KNOWN
    assert learn(KNOWN, replace(FOUND, slots=4), answer()).slots == 16, "a queue in use shows fewer slots"
    assert learn(KNOWN, replace(FOUND, slots=32), answer()).slots == 32


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Marlin 2.1.2 (Nov 2 2026)"},
        {"machine": "Other"},
        {"uuid": "u-2"},
    ],
    ids=str,
)
def test_another_firmware_starts_anew(changes: dict[str, Any]) -> None:
    new = learn(KNOWN, FOUND, answer(replace(MARLIN, **changes)))
    assert (new.slots, new.stop, new.losses) == (None, UNTESTED, 0)


def test_a_build_without_the_parser_is_believed_at_once() -> None:
    without = replace(MARLIN, capabilities={"EMERGENCY_PARSER": False})
    assert learn(KNOWN, FOUND, answer(without)).stop == ABSENT
    older = replace(KNOWN, firmware=without, stop=ABSENT)
    assert learn(older, FOUND, answer(MARLIN)).stop == UNTESTED, "another build: it is to be tested"


def test_a_printer_too_busy_for_its_name_is_taken_for_the_same() -> None:
    assert learn(KNOWN, FOUND, answer(None, busy=True)) == KNOWN
    klipper = by_name("klipper")
    assert klipper is not None
    assert learn(KNOWN, FOUND, answer(None, dialect=klipper)).slots is None


@pytest.mark.parametrize(
    ("changes", "testable"),
    [
        ({}, True),
        ({"busy": True}, False),
        ({"temperatures": {"T0": Temperature(20.0, 0.0)}}, True),
        ({"temperatures": {"T0": Temperature(20.0, 0.0), "B": Temperature(20.0, 60.0)}}, False),
        ({"firmware": replace(MARLIN, capabilities={"EMERGENCY_PARSER": False})}, False),
        ({"firmware": replace(MARLIN, capabilities={"AUTOREPORT_TEMP": True})}, False),
        ({"firmware": replace(MARLIN, capabilities={})}, False),
        ({"firmware": None}, False),
        ({"dialect": by_name("repetier")}, False),
    ],
    ids=str,
)
def test_only_an_idle_cold_printer_that_claims_a_parser_is_tested(
    changes: dict[str, Any], testable: bool
) -> None:
    assert is_testable(answer(**changes)) is testable


class Records:
    """A table in memory that can fail."""

    def __init__(self, *documents: Mapping[str, Any], broken: bool = False) -> None:
        self.documents = list(documents)
        self.broken = broken
        self.saves = 0

    async def records(self) -> Sequence[Mapping[str, Any]]:
        if self.broken:
            raise StorageError("the disk is gone")
        return self.documents

    async def save(self, port_id: str, learned: Mapping[str, Any]) -> None:
        if self.broken:
            raise StorageError("the disk is gone")
        self.saves += 1
        self.documents = [learned, *(d for d in self.documents if d.get("port_id") != port_id)]


async def test_memory_reads_once_and_writes_news_only() -> None:
    records = Records(KNOWN.to_json(), {"v": 0}, replace(KNOWN, port_id="usb-2", baud=115200).to_json())
    memory = PrinterMemory(records)
    await memory.open()
    assert memory.last == KNOWN
    second = memory.of("usb-2")
    assert second is not None
    assert second.baud == 115200
    assert memory.of("usb-3") is None
    memory.learn(KNOWN)
    await memory.save()
    assert records.saves == 0
    memory.learn(replace(KNOWN, losses=3))
    await memory.open()
    await memory.save()
    await memory.save()
    assert records.saves == 1
    assert memory.last == replace(KNOWN, losses=3)


async def test_a_disk_that_fails_costs_no_connection() -> None:
    memory = PrinterMemory(Records(broken=True))
    await memory.open()
    assert memory.last is None
    memory.learn(KNOWN)
    await memory.save()
    assert memory.of("usb-1") == KNOWN


async def test_without_records_the_process_remembers() -> None:
    memory = PrinterMemory()
    await memory.open()
    memory.learn(KNOWN)
    await memory.save()
    memory.forget_last()
    assert memory.last is None
    assert memory.of("usb-1") == KNOWN
