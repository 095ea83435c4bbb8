"""What `fabunit coordinator` shows to people, a line each. Whatever a unit said is made printable first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agent.cli.wording import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.coordinator.standin.orders import Order
    from agent.coordinator.standin.records import Continuity
    from agent.coordinator.standin.units import Unit


def order_lines(found: Sequence[Order]) -> str:
    """Write jobs, one a line."""
    return "\n".join(
        printable(
            f"{order.job_id}  {order.unit}  {order.state or 'waiting':<10}  {order.name}  {order.detail}"
        ).rstrip()
        for order in found
    )


def unit_line(unit: Unit) -> str:
    """Write a unit: who, presence, printer, bed, job."""
    state = unit.state or {}
    printer = state.get("printer") or {}
    job = state.get("job") or {}
    parts = [
        f"{unit.unit:<20}",
        f"{unit.presence:<8}",
        f"{printer.get('state', ''):<10}",
        f"bed {state.get('bed', '?')}",
    ]
    parts += [f"job {job['job_id']}"] if job else []
    return printable("  ".join(parts)).rstrip()


def record_line(unit: str, record: Mapping[str, Any]) -> str:
    """Write a record with its moment in local time."""
    moment = time.strftime("%H:%M:%S", time.localtime(record["t"] / 1000))
    subject = record.get("job") or record.get("print") or ""
    words = [
        record["type"],
        subject,
        record.get("state") or "",
        record.get("reason") or "",
        record.get("detail", ""),
    ]
    return printable(f"{moment} {unit} #{record['seq']} {' '.join(word for word in words if word)}")


def sample_line(sample: Mapping[str, Any]) -> str:
    """Write a live sample: state, progress, temperatures."""
    heaters = sample.get("temperatures", {})
    degrees = " ".join(f"{name} {values.get('actual', '?')}" for name, values in heaters.items())
    return printable(f"{sample['state']:<10} {sample.get('fraction') or 0:6.1%} {degrees}")


def continuity_line(item: Continuity) -> str:
    """Write how complete the records of a unit are."""
    return (
        f"{item.unit} {item.epoch}: {item.received} records up to {item.upto}, {item.repeated} came again, "
        f"{len(item.gaps)} gaps, {len(item.open)} missing ranges, {item.conflicts} contradictions"
    )
