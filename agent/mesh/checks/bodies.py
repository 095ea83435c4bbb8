"""The separate bodies: inside out, nested, floating, and voids that nothing can leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64, I64, Bool
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import MAX_PLACES, CheckStatus, MeshFinding, Place
from agent.mesh.geometry.clusters import vector
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.solid import Solid

MOST_BODIES = 400  # pairs of bodies are looked at up to this many; more are only counted
_MOST_TESTS = 20_000_000  # faces looked at to tell which body lies in which
_FLAT_MM3 = 1e-9


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Bodies with something to say about them, in the words for one and for several."""

    id: str
    bodies: I64
    severity: Severity
    one: str
    many: str
    remedy: str


def check(part: Part) -> Outcome:
    """Report how many bodies there are and which of them are inside out, inside others, or in the air."""
    solid = part.solid
    labels, count = solid.bodies
    if count > MOST_BODIES:
        return Outcome(_several(count), CheckStatus.SAMPLED, f"{count} bodies: not looked at one by one")
    findings: list[MeshFinding] = [*_several(count)]
    painted: dict[str, I64] = {}
    for trouble in _troubles(part):
        if len(trouble.bodies):
            findings.append(_finding(part, trouble))
            painted[trouble.id] = np.flatnonzero(np.isin(labels, trouble.bodies))
    return Outcome(tuple(findings), painted=painted)


def _troubles(part: Part) -> tuple[_Trouble, ...]:
    volumes = part.solid.body_volumes
    is_inner = depths(part.solid) % 2 == 1
    is_negative, is_positive = volumes < -_FLAT_MM3, volumes > _FLAT_MM3
    is_reversed = is_negative & ~is_inner
    if part.survey.volume_mm3 < 0 and is_reversed.all():
        is_reversed = np.zeros(len(volumes), dtype=bool)  # the edge check says that all of it is inside out
    return (
        _Trouble(
            "body.inside_out", np.flatnonzero(is_reversed), Severity.WARNING,
            "1 body is inside out", "bodies are inside out", "turn them over: --repair does",
        ),
        _Trouble(
            "body.nested", np.flatnonzero(is_positive & is_inner), Severity.INFO,
            "1 body lies inside another and is filled too", "bodies lie inside others and are filled too",
            "nothing to do if they should be one piece; turn them over if they should be voids",
        ),
        _Trouble(
            "body.void", np.flatnonzero(is_negative & is_inner), Severity.INFO,
            "1 closed void", "closed voids", "what is inside stays inside; give it a hole if that matters",
        ),
        _Trouble(
            "body.floating", np.flatnonzero(_floating(part)),
            Severity.WARNING if part.limits.has_supports else Severity.ERROR,
            "1 body is in the air and touches nothing", "bodies are in the air and touch nothing",
            "stand them on the bed, or print them with supports",
        ),
    )  # fmt: skip


def _several(count: int) -> tuple[MeshFinding, ...]:
    if count < 2:
        return ()
    return (
        MeshFinding(
            "body.several",
            Severity.INFO,
            f"the file holds {count} bodies",
            "they are printed together, as they lie",
            measured=float(count),
            limit=1.0,
            unit="bodies",
            count=count,
        ),
    )


def _finding(part: Part, trouble: _Trouble) -> MeshFinding:
    low, high = part.solid.body_bounds
    volumes = np.abs(part.solid.body_volumes[trouble.bodies])
    order = np.lexsort((trouble.bodies, -volumes))
    count = len(trouble.bodies)
    what = trouble.one if count == 1 else f"{count} {trouble.many}"
    return MeshFinding(
        trouble.id,
        trouble.severity,
        f"{what}, {volumes.sum():.4g} mm³",
        trouble.remedy,
        measured=float(volumes.sum()),
        unit="mm³",
        count=count,
        places=tuple(
            Place(vector((low[body] + high[body]) / 2), vector(low[body]), vector(high[body]))
            for body in trouble.bodies[order][:MAX_PLACES]
        ),
    )


def _floating(part: Part) -> Bool:
    """Return the bodies whose lowest point is off the bed, where an island begins at that height."""
    low, high = part.solid.body_bounds
    _, count = part.solid.bodies
    raised = low[:, 2] > part.base_mm + 1.5 * part.limits.layer_mm
    hanging = part.hanging
    islands = np.flatnonzero(hanging.is_island)
    if count < 2 or not raised.any() or len(islands) == 0:
        return np.zeros(count, dtype=bool)
    mine = np.flatnonzero(np.isin(hanging.group, islands))
    heights = part.layers.height_mm(hanging.layer[mine]) + part.base_mm
    points = part.columns.points(hanging.cell[mine], heights)
    step = float(np.diff(part.layers.numbers).max(initial=1)) * part.limits.layer_mm
    found = np.zeros(count, dtype=bool)
    for body in np.flatnonzero(raised):
        near = (np.abs(points[:, 2] - low[body, 2]) <= step + 1e-6) & (
            (points[:, :2] >= low[body, :2]) & (points[:, :2] <= high[body, :2])
        ).all(axis=1)
        found[body] = bool(near.any())
    return found


def depths(solid: Solid) -> I64:
    """Return inside how many other bodies each one lies: an upward ray from one of its vertices crosses them oddly."""
    labels, count = solid.bodies
    depths = np.zeros(count, dtype=np.int64)
    if count < 2:
        return depths
    low, high = solid.body_bounds
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count + 1))
    spent = 0
    for inner in range(count):
        outers = np.flatnonzero(((low <= low[inner]) & (high >= high[inner])).all(axis=1))
        for outer in outers[outers != inner]:
            faces = order[starts[outer] : starts[outer + 1]]
            spent += len(faces)
            if spent > _MOST_TESTS:
                return depths
            point = solid.centres(order[starts[inner] : starts[inner] + 1])[0]
            depths[inner] += _contains(solid, faces, point)
    return depths


def _contains(solid: Solid, faces: I64, point: F64) -> int:
    """Return 1 if the closed surface of `faces` holds the point."""
    corners = solid.vertices[solid.faces[faces]] - point
    x, y, z = (corners[:, :, axis] for axis in range(3))
    following = (1, 2, 0)
    sides = np.sign(x * y[:, following] - x[:, following] * y)
    over = np.flatnonzero(np.abs(sides.sum(axis=1)) == 3)
    u, v = corners[over, 1] - corners[over, 0], corners[over, 2] - corners[over, 0]
    normal = np.cross(u, v)
    height = (normal * corners[over, 0]).sum(axis=1) / normal[:, 2]
    del z
    return int(np.count_nonzero(height > 0) % 2)
