"""The way to the coordinator's broker: its name, its port, its certificate, as tried from here a moment ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """One broker of the configuration; `problem` is empty where it could be reached."""

    broker: str
    problem: str = ""
    remedy: str = ""


def judge(facts: Sequence[BrokerFacts]) -> list[Finding]:
    """Return what is wrong on the way to each broker."""
    return [_judge(one) for one in facts]


def _judge(facts: BrokerFacts) -> Finding:
    if not facts.problem:
        return ok("broker", f"{facts.broker} can be reached from here")
    return Finding("broker", Level.WARNING, f"{facts.broker}: {facts.problem}", facts.remedy)
