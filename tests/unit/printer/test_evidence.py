"""How evidence becomes a window."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.printer.dialects import DIALECTS, MARLIN_2, Dialect, by_name
from agent.printer.evidence import (
    FLOW_CONTROLLED,
    LOSSES_MOST,
    SLOTS_MOST,
    Evidence,
    is_wide,
    slots_of,
    window_of,
)
from agent.printer.stop_path import EmergencyParser
from agent.printer.window import WindowSize

PROVEN, ABSENT, UNKNOWN = EmergencyParser.PROVEN, EmergencyParser.ABSENT, EmergencyParser.UNKNOWN
NATIVE = next(iter(FLOW_CONTROLLED))
ADAPTER = (0x1A86, 0x7523)
RING = 128


@pytest.mark.parametrize(
    ("evidence", "size"),
    [
        (Evidence(MARLIN_2), (3, 120)),
        (Evidence(MARLIN_2, parser=ABSENT), (3, 120)),
        (Evidence(MARLIN_2, parser=PROVEN), (4, 120)),
        (Evidence(MARLIN_2, slots=16, parser=PROVEN), (16, 120)),
        (Evidence(MARLIN_2, slots=16), (15, 120)),
        (Evidence(MARLIN_2, slots=500, parser=PROVEN), (SLOTS_MOST, 120)),
        (Evidence(MARLIN_2, slots=2, parser=PROVEN), (2, 120)),
        (Evidence(MARLIN_2, slots=2), (1, 120)),
        (Evidence(MARLIN_2, usb=ADAPTER, parser=PROVEN), (4, 120)),
        (Evidence(MARLIN_2, usb=NATIVE, parser=PROVEN), (4, 384)),
        (Evidence(MARLIN_2, usb=NATIVE), (3, 288)),
        (Evidence(MARLIN_2, slots=16, usb=NATIVE, parser=PROVEN), (16, 1536)),
        (Evidence(MARLIN_2, slots=16, usb=NATIVE, parser=PROVEN, losses=LOSSES_MOST), (16, 1536)),
        (Evidence(MARLIN_2, slots=16, usb=NATIVE, parser=PROVEN, losses=LOSSES_MOST + 1), (4, 120)),
        (Evidence(MARLIN_2, slots=16, usb=NATIVE, losses=LOSSES_MOST + 1), (3, 120)),
    ],
    ids=str,
)
def test_the_table(evidence: Evidence, size: tuple[int, int]) -> None:
    assert window_of(evidence) == WindowSize(*size)


@pytest.mark.parametrize("name", ["reprap", "klipper", "cbd", "generic"])
def test_firmware_that_hides_losses_is_never_given_more_than_one_line(name: str) -> None:
    dialect = by_name(name)
    assert dialect is not None
    best = Evidence(dialect, slots=32, usb=NATIVE, parser=PROVEN)
    assert window_of(best) == WindowSize(1, dialect.window_bytes)


def test_the_profile_goes_before_everything() -> None:
    worst = Evidence(MARLIN_2, slots=2, losses=100)
    assert window_of(worst, 64, 4096) == WindowSize(64, 4096)
    assert window_of(worst, None, 64) == WindowSize(1, 64)


@pytest.mark.parametrize(
    ("free", "slots"),
    [
        ([3, 3], 4),
        ([15, 15], 16),
        ([3, 93], 4),
        ([2, 3, 3], 3),
        ([], None),
        ([3], None),
        ([0, 3], None),
        ([999, 999], None),
        ([-1, -1], None),
    ],
)
def test_slots_need_two_oks_that_make_sense(free: list[int], slots: int | None) -> None:
    assert slots_of(free) == slots


EVIDENCE = st.builds(
    Evidence,
    st.sampled_from(DIALECTS),
    st.none() | st.integers(1, 256),
    st.sampled_from([None, NATIVE, ADAPTER]),
    st.sampled_from(EmergencyParser),
    st.integers(0, 100),
)


@given(EVIDENCE)
def test_whatever_is_known_the_window_is_safe(evidence: Evidence) -> None:
    size = window_of(evidence)
    dialect = evidence.dialect
    assert 1 <= size.lines <= max(dialect.window_lines, SLOTS_MOST)
    assert size.bytes >= dialect.window_bytes
    if evidence.usb not in FLOW_CONTROLLED and dialect.window_lines > 1:
        assert size.bytes < RING
    slots = evidence.slots or 4
    if evidence.parser is not PROVEN and slots > 1 and dialect.window_lines > 1:
        assert size.lines < slots, "an M112 needs a free slot to be read"
    else:
        assert size.lines <= max(slots, 1)


@given(EVIDENCE)
def test_losses_never_widen_a_window(evidence: Evidence) -> None:
    before = window_of(evidence)
    after = window_of(replace(evidence, losses=evidence.losses + 10))
    assert after.lines <= before.lines
    assert after.bytes <= before.bytes
    assert not is_wide(evidence, window_of(replace(evidence, losses=LOSSES_MOST + 1)))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_without_evidence_no_window_counts_as_wide(dialect: Dialect) -> None:
    for parser in EmergencyParser:
        evidence = Evidence(dialect, parser=parser)
        assert not is_wide(evidence, window_of(evidence))


def test_a_wide_window_is_told() -> None:
    evidence = Evidence(MARLIN_2, slots=16, parser=PROVEN)
    assert is_wide(evidence, window_of(evidence))
    assert UNKNOWN is Evidence(MARLIN_2).parser
