"""How a check answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.mesh.arrays import I64
from agent.mesh.finding import CheckStatus, MeshFinding
from agent.mesh.geometry.part import Part


@dataclass(frozen=True, slots=True)
class Outcome:
    """Findings, how the check ended, and by finding id the faces that pictures paint."""

    findings: tuple[MeshFinding, ...] = ()
    status: CheckStatus = CheckStatus.DONE
    detail: str = ""
    painted: dict[str, I64] = field(default_factory=dict)


Check = Callable[[Part], Outcome]
