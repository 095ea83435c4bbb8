"""Faces that cross other faces. Slicers join what overlaps, so this is a warning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64, I64, Bool
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import CheckStatus, MeshFinding
from agent.mesh.geometry.clusters import places
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.rays import RayGrid
from agent.mesh.geometry.solid import Solid

MAX_PAIRS = 6_000_000  # about two seconds; beyond that only suspicious cells are looked at
_PAIRS_AT_ONCE = 400_000
_CELLS_AT_ONCE = 1 << 19
_NEARLY = 1e-6  # of the part's size: nearer is touching, not crossing
_CONE = 0.5  # cosine of 60 degrees: a sheet bent by less in one cell does not cross itself


def check(part: Part) -> Outcome:
    """Report the faces that cross others."""
    solid = part.solid
    pairs = _Pairs(solid, part.rays)
    status, detail = CheckStatus.DONE, ""
    chosen = pairs.all_cells()
    if pairs.count(chosen) > MAX_PAIRS:
        chosen = pairs.suspicious_cells()
        status, detail = CheckStatus.SAMPLED, "only where several bodies or bent sheets are near"
        if pairs.count(chosen) > MAX_PAIRS:
            chosen = pairs.within(chosen, MAX_PAIRS)
            detail = f"the first {MAX_PAIRS} pairs of faces that are near each other"
    size = float(np.abs(part.survey.size).max())
    crossing: list[I64] = []
    for first, second in pairs.generate(chosen):
        hit = crosses(solid, first, second, _NEARLY * size)
        crossing.append(first[hit])
        crossing.append(second[hit])
    faces = np.unique(np.concatenate(crossing)) if crossing else np.empty(0, dtype=np.int64)
    if len(faces) == 0:
        return Outcome(status=status, detail=detail)
    bodies = len(np.unique(solid.bodies[0][faces]))
    what = f"of {bodies} bodies cross each other" if bodies > 1 else "cross each other"
    finding = MeshFinding(
        "mesh.self_intersection",
        Severity.WARNING,
        f"{len(faces)} faces {what}",
        "slicers join overlapping bodies; unite them in the model to be sure of the result",
        measured=float(len(faces)),
        limit=0.0,
        unit="faces",
        count=len(faces),
        area_mm2=float(solid.areas[faces].sum()),
        share=float(solid.areas[faces].sum()) / part.survey.area_mm2,
        places=places(solid.centres(faces), faces, radius_mm=part.place_radius_mm),
    )
    return Outcome((finding,), status, detail, {finding.id: faces})


class _Pairs:
    """Pairs of faces that share a cell of the grid, each pair once, or where faces are big a few times."""

    def __init__(self, solid: Solid, grid: RayGrid) -> None:
        self._solid = solid
        self._grid = grid
        self._faces, self._starts = grid.entries()
        self._lengths = np.diff(self._starts).astype(np.int64)

    def all_cells(self) -> I64:
        """Return the cells with more than one face."""
        return np.flatnonzero(self._lengths > 1)

    def count(self, cells: I64) -> int:
        """Return how many pairs the cells hold."""
        lengths = self._lengths[cells]
        return int((lengths * (lengths - 1) // 2).sum())

    def within(self, cells: I64, budget: int) -> I64:
        """Return the first cells that hold no more than `budget` pairs."""
        lengths = self._lengths[cells]
        return cells[np.cumsum(lengths * (lengths - 1) // 2) <= budget]

    def suspicious_cells(self) -> I64:
        """Return the cells where several bodies meet or the faces look to different sides."""
        found = [
            self._bent(start, min(start + _CELLS_AT_ONCE, len(self._lengths)))
            for start in range(0, len(self._lengths), _CELLS_AT_ONCE)
        ]
        return np.concatenate(found)

    def _bent(self, start: int, stop: int) -> I64:
        cells = np.flatnonzero(self._lengths[start:stop] > 1) + start
        if len(cells) == 0:
            return cells
        lengths = self._lengths[cells]
        faces = self._faces[np.repeat(self._starts[cells].astype(np.int64), lengths) + _counting(lengths)]
        begins = np.cumsum(lengths) - lengths
        normals = self._solid.normals[faces]
        means = np.add.reduceat(normals, begins, axis=0)
        means = means / np.maximum(np.sqrt((means**2).sum(axis=1)), np.float32(1e-12))[:, None]
        cosines = np.einsum("ij,ij->i", normals, np.repeat(means, lengths, axis=0))
        is_bent = np.minimum.reduceat(cosines, begins) < _CONE
        labels, bodies = self._solid.bodies
        if bodies > 1:
            body = labels[faces]
            is_bent |= np.minimum.reduceat(body, begins) != np.maximum.reduceat(body, begins)
        return np.asarray(cells[is_bent])

    def generate(self, cells: I64) -> Iterator[tuple[I64, I64]]:
        """Yield pairs whose boxes overlap and that share no vertex."""
        owner = np.repeat(cells, self._lengths[cells])
        starts = self._starts[cells].astype(np.int64)
        at = np.repeat(starts, self._lengths[cells]) + _counting(self._lengths[cells])
        ends = self._starts[owner + 1].astype(np.int64)
        gathered: list[tuple[I64, I64]] = []
        waiting = 0
        distance = 1
        while len(at):
            keep = at + distance < ends
            at, ends, owner = at[keep], ends[keep], owner[keep]
            for part in (slice(n, n + _PAIRS_AT_ONCE) for n in range(0, len(at), _PAIRS_AT_ONCE)):
                first = self._faces[at[part]].astype(np.int64)
                second = self._faces[at[part] + distance].astype(np.int64)
                good = self._near(first, second, owner[part])
                gathered.append((first[good], second[good]))
                waiting += len(gathered[-1][0])
            if waiting > _PAIRS_AT_ONCE:
                yield _joined(gathered)
                gathered, waiting = [], 0
            distance += 1
        if waiting:
            yield _joined(gathered)

    def _near(self, first: I64, second: I64, cell: I64) -> I64:
        low_a, high_a = self._boxes(first)
        low_b, high_b = self._boxes(second)
        low = np.maximum(low_a, low_b)
        near = np.flatnonzero((low <= np.minimum(high_a, high_b)).all(axis=1))
        if not self._grid.is_trimmed:
            # Two faces may share many cells; the pair counts where the corner of their common box is. A trimmed grid
            # may list neither of them there: then a pair is tried in each cell that has both.
            near = near[self._grid.cell_of(low[near]) == cell[near]]
        one, two = self._solid.faces[first[near]], self._solid.faces[second[near]]
        apart = ~(one[:, :, None] == two[:, None, :]).any(axis=(1, 2))
        return np.asarray(near[apart])

    def _boxes(
        self, faces: I64
    ) -> tuple[
        np.ndarray[tuple[int, ...], np.dtype[np.float32]], np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    ]:
        return self._grid.low[faces], self._grid.high[faces]


def crosses(solid: Solid, first: I64, second: I64, nearly_mm: float) -> Bool:
    """Tell for pairs of faces whether they cross (Moeller's interval test); touching and lying flat do not count."""
    result = np.zeros(len(first), dtype=bool)
    a, b = solid.vertices[solid.faces[first]], solid.vertices[solid.faces[second]]
    normal_a, normal_b = _normal(a), _normal(b)
    side_b = np.einsum("ij,ikj->ik", normal_a, b - a[:, :1])
    straddles = (side_b.min(axis=1) < -nearly_mm) & (side_b.max(axis=1) > nearly_mm)
    side_a = np.einsum("ij,ikj->ik", normal_b, a - b[:, :1])
    straddles &= (side_a.min(axis=1) < -nearly_mm) & (side_a.max(axis=1) > nearly_mm)
    some = np.flatnonzero(straddles)
    if len(some) == 0:
        return result
    line = np.cross(normal_a[some], normal_b[some])
    origin = a[some, :1]
    low_a, high_a = _interval(a[some] - origin, side_a[some], line)
    low_b, high_b = _interval(b[some] - origin, side_b[some], line)
    scale = np.sqrt((line**2).sum(axis=1))
    result[some] = np.minimum(high_a, high_b) - np.maximum(low_a, low_b) > nearly_mm * scale
    return result


def _interval(corners: F64, sides: F64, line: F64) -> tuple[F64, F64]:
    """Return where a triangle meets the other's plane, along the line in which both planes meet."""
    along = np.einsum("ij,ikj->ik", line, corners)
    rows = np.arange(len(corners))
    positive = sides > 0
    alone = np.where(positive.sum(axis=1) == 1, np.argmax(positive, axis=1), np.argmin(positive, axis=1))
    ends = []
    for other in (1, 2):
        partner = (alone + other) % 3
        own, theirs = sides[rows, alone], sides[rows, partner]
        share = own / np.where(own == theirs, 1.0, own - theirs)
        ends.append(along[rows, alone] + share * (along[rows, partner] - along[rows, alone]))
    return np.minimum(*ends), np.maximum(*ends)


def _normal(corners: F64) -> F64:
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.sqrt((cross**2).sum(axis=1))
    return np.asarray(cross / np.where(length > 0, length, 1.0)[:, None])


def _joined(pairs: list[tuple[I64, I64]]) -> tuple[I64, I64]:
    return np.concatenate([one for one, _ in pairs]), np.concatenate([two for _, two in pairs])


def _counting(lengths: I64) -> I64:
    total = int(lengths.sum())
    return np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)
