"""What a coordinator that runs for years forgets, and what it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.coordinator.standin import orders, tidying
from agent.coordinator.standin.ledger import Ledger, set_meta
from agent.coordinator.standin.pushing import Wishes, push
from agent.coordinator.standin.tidying import KEPT_MS, tidy
from tests.unit.standin.said import UNIT

NOW_MS = 1_790_000_000_000


def pushed(ledger: Ledger, folder: Path, name: str, *, is_signed: bool = False) -> str:
    with ledger.transaction() as connection:
        set_meta(connection, "files_url", "http://127.0.0.1:1")
    part = folder / name
    part.write_text(f"; {name}\nG28\n")
    return push(ledger, [part], [UNIT], Wishes(is_signed=is_signed), NOW_MS)[0].job_id


def end(ledger: Ledger, job_id: str) -> None:
    with ledger.transaction() as connection:
        connection.execute("UPDATE jobs SET state = 'completed' WHERE job_id = ?", (job_id,))


def tidied(ledger: Ledger, now_ms: int) -> int:
    with ledger.transaction() as connection:
        tidy(connection, ledger.files_dir, now_ms)
    return len(list(ledger.files_dir.iterdir()))


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_file_goes_a_week_after_its_last_order(ledger: Ledger, tmp_path: Path, *, is_signed: bool) -> None:
    open_order = pushed(ledger, tmp_path, "open.gcode", is_signed=is_signed)
    end(ledger, pushed(ledger, tmp_path, "over.gcode", is_signed=is_signed))
    assert tidied(ledger, NOW_MS + 1000) == 2, "it may be tried again"
    assert tidied(ledger, NOW_MS + KEPT_MS + 1000) == 1
    end(ledger, open_order)
    assert tidied(ledger, NOW_MS + KEPT_MS + 1000) == 0
    again = pushed(ledger, tmp_path, "over.gcode")
    assert len(list(ledger.files_dir.iterdir())) == 1, (
        "the same file is copied again when it is ordered again"
    )
    assert orders.jobs(ledger.reading, job_id=again)[0].state is None


def test_old_orders_and_commands_are_bounded(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "KEPT_JOBS", 2)
    kept = pushed(ledger, tmp_path, "a.gcode")
    for _ in range(4):
        end(ledger, pushed(ledger, tmp_path, "b.gcode"))
    with ledger.transaction() as connection:
        orders.add_command(connection, UNIT, "old", b"{}", NOW_MS)
        orders.add_command(connection, UNIT, "new", b"{}", NOW_MS + KEPT_MS)
    tidied(ledger, NOW_MS + KEPT_MS + 1000)
    left = [order.job_id for order in orders.jobs(ledger.reading)]
    assert (left[0], len(left)) == (kept, 3), "what is not over stays, whatever its age"
    rows = ledger.reading.execute("SELECT cmd_id FROM commands").fetchall()
    assert [row["cmd_id"] for row in rows] == ["new"]
