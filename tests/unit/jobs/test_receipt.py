"""What a receipt says of interruptions, and the seal under it."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.errors import RefusedError, UsageError
from agent.domain.events import Event, EventType, Stamp
from agent.domain.prints import OutcomeState, PrintOutcome, PrintRecord, PrintState
from agent.jobs.receipt import receipt
from agent.jobs.seal import ReceiptSigner, verify
from tests.unit.control.fake_unit import make_job

NOW = Stamp(9_000, 90_000, "boot-2")
SIGNER = ReceiptSigner("unit-1", bytes(range(32)))


def event(mono_ms: int, state: PrintState, boot: str = "boot-2", **data: Any) -> Event:
    return Event("e", 1, EventType.PRINT, "j", 1, "p", state.value, "user", "", 0, mono_ms, boot, data)


def told(*events: Event) -> dict[str, Any]:
    record = PrintRecord("p", "j", 1, PrintState.COMPLETED, "", 10, 20_000, "", None, "", 0, 60_000)
    outcome = PrintOutcome(OutcomeState.COMPLETED, None, "", 10)
    return receipt(make_job("j"), record, outcome, events, NOW)


def test_gaps_of_restarts_and_of_cables_are_told_apart() -> None:
    found = told(
        event(1, PrintState.PRINTING),
        event(2, PrintState.PRINTING, event="taken_over", line=5, gap_s=3.5, restarted=True),
        event(3, PrintState.PRINTING, event="taken_over", line=7, gap_s=None, restarted=False),
        event(4, PrintState.PRINTING, event="cancel_requested"),
    )
    assert (found["restarts"], found["reconnects"]) == (1, 1)
    assert found["gaps"] == [{"line": 5, "gap_s": 3.5}, {"line": 7, "gap_s": None}]
    assert found["pauses"] == []


def test_pauses_have_a_length_unless_the_machine_was_restarted_in_between() -> None:
    found = told(
        event(1_000, PrintState.PAUSED, "boot-1"),
        event(2_500, PrintState.PRINTING, "boot-1"),
        event(3_000, PrintState.PAUSED, "boot-1"),
        event(500, PrintState.PRINTING),
        event(80_000, PrintState.PAUSED),
        event(85_000, PrintState.PAUSED, event="cancel_requested"),
    )
    assert [pause["length_s"] for pause in found["pauses"]] == [1.5, None, 10.0]


def test_a_seal_fits_its_bytes_and_its_key_only() -> None:
    seal = SIGNER(b"the receipt")
    verify(b"the receipt", seal)
    verify(b"the receipt", seal, seal["public_key"])
    assert seal["kid"] == "unit-1"
    with pytest.raises(RefusedError, match="not of this receipt") as caught:
        verify(b"the receipt.", seal)
    assert caught.value.code == "bad_signature"
    other = replace(SIGNER, key=bytes(32))(b"the receipt")
    with pytest.raises(RefusedError) as caught:
        verify(b"the receipt", seal, other["public_key"])
    assert caught.value.code == "unknown_key"
    with pytest.raises(RefusedError):
        verify(b"the receipt", {**seal, "sig": other["sig"]})


@pytest.mark.parametrize("fault", [
    {"alg": "rsa"}, {"sig": "AAAA"}, {"sig": None}, {"public_key": "?"},
    {"public_key": base64.b64encode(b"x" * 31).decode()},
])  # fmt: skip
def test_what_is_no_seal_is_called_that(fault: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        verify(b"the receipt", {**SIGNER(b"the receipt"), **fault})
