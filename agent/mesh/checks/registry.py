"""All checks in the order in which they run: cheap and telling ones first."""

from __future__ import annotations

from agent.mesh.checks import (
    bodies,
    edges,
    features,
    footing,
    layers,
    overhang,
    self_intersection,
    size,
    surplus,
    walls,
)
from agent.mesh.checks.outcome import Check

CHECKS: tuple[tuple[str, Check], ...] = (
    ("size", size.check),
    ("edges", edges.check),
    ("overhang", overhang.check),
    ("surplus", surplus.check),
    ("layers", layers.check),
    ("footing", footing.check),
    ("bodies", bodies.check),
    ("walls", walls.check),
    ("features", features.check),
    ("self_intersection", self_intersection.check),
)

# What another pose can change.
POSE_CHECKS = frozenset({"size", "overhang", "layers", "footing"})
