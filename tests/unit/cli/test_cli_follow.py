"""Following a job that cannot start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.cli.follow import follow
from agent.domain.errors import RefusedError
from agent.domain.printer import PrinterState
from tests.unit.control.served import Served


@pytest.mark.usefixtures("quick_polling")
def test_a_job_at_a_halted_printer_is_not_followed_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agent.cli.follow.HALTED_S", 0.05)
    unit = served.unit
    halted = replace(
        unit.printer.view, state=PrinterState.HALTED, detail="Homing Failed; reset it", progress=None
    )

    def halt() -> None:
        unit.printer.view = halted
        unit.queue.jobs[:] = [job for job in unit.queue.jobs if job.job_id == "j-2"]
        unit.queue.bed_state = "clear"

    served.in_loop(halt)
    with pytest.raises(RefusedError, match="Homing Failed") as caught:
        follow(served.client(), ["j-2"], quiet=False)
    assert caught.value.code == "printer_halted"
    assert "stays in the queue" in caught.value.remedy
    shown = capsys.readouterr().out
    assert "a job is ready but the printer is halted: Homing Failed; reset it" in shown
