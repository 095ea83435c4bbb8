"""Reading along in the ledger beside the server: new records, jobs until they are over, the answer to a command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.coordinator.standin import orders, units
from agent.coordinator.standin.ledger import Ledger
from agent.coordinator.standin.orders import Order

# Looking at a number in shared memory; sooner than anybody can read.
POLL_S = 0.05
_MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it arrived: `n` counts arrivals, `record` is the unit's JSON."""

    n: int
    unit: str
    record: dict[str, Any]


def newest(ledger: Ledger) -> int:
    """Return the number of the newest arrival, 0 when there is none."""
    return int(ledger.reading.execute("SELECT COALESCE(MAX(n), 0) FROM records").fetchone()[0])


def seen_after(ledger: Ledger, n: int, unit: str | None = None) -> list[Seen]:
    """Return the next arrivals behind number `n`, at most 500."""
    rows = ledger.reading.execute(
        "SELECT n, unit, body FROM records WHERE n > ?1 AND (?2 IS NULL OR unit = ?2) ORDER BY n LIMIT ?3",
        (n, unit, _MAX_ROWS),
    )
    return [Seen(row["n"], row["unit"], json.loads(row["body"])) for row in rows]


def follow(
    ledger: Ledger, n: int, unit: str | None = None, until: Callable[[], bool] = lambda: False
) -> Iterator[Seen]:
    """Yield arrivals behind number `n` as they come, until `until` says so and all are told."""
    while True:
        is_last = until()
        found = seen_after(ledger, n, unit)
        yield from found
        if found:
            n = found[-1].n
        elif is_last:
            return
        else:
            time.sleep(POLL_S)


def wait_orders(ledger: Ledger, job_ids: Sequence[str], timeout_s: float | None) -> list[Order]:
    """Return the jobs once all are over, or as they stand after `timeout_s`."""
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        found = [order for job_id in job_ids for order in orders.jobs(ledger.reading, job_id=job_id)]
        if all(order.is_over for order in found) or (deadline_s and time.monotonic() >= deadline_s):
            return found
        time.sleep(POLL_S)


def wait_command(ledger: Ledger, cmd_id: str, timeout_s: float) -> tuple[str, dict[str, Any] | None]:
    """Return (status, answer) of a command once it is done, failed or late, or as it stands after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        status, answer = orders.command_answer(ledger.reading, cmd_id)
        if status in ("done", "failed", "late") or time.monotonic() >= deadline_s:
            return status, answer
        time.sleep(POLL_S)


def follow_live(
    ledger: Ledger, unit: str, renew: Callable[[], None], every_s: float
) -> Iterator[dict[str, Any]]:
    """Yield a unit's samples as they come; `renew` is called at once and every `every_s` to keep them coming."""
    shown: dict[str, Any] | None = None
    renew_at_s = time.monotonic()
    while True:
        if time.monotonic() >= renew_at_s:
            renew()
            renew_at_s = time.monotonic() + every_s
        known = units.get(ledger.reading, unit)
        if known is not None and known.live is not None and known.live != shown:
            shown = known.live
            yield shown
        time.sleep(POLL_S)
