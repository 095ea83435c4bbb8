"""Safe repairs, on demand, into a new file: each step says what it changed and by how much the surface may move."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent import __version__
from agent.mesh.arrays import F64, I32, I64
from agent.mesh.checks.bodies import MOST_BODIES, depths
from agent.mesh.checks.surplus import back_to_back, duplicates
from agent.mesh.geometry.clusters import cluster
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.labels import components, renumber
from agent.mesh.geometry.solid import Solid
from agent.mesh.load.source import SoupSource

MOST_RIM_EDGES = 200  # of a hole that is closed on request
# Of the part's size, from the middle of a hole to its rim: larger ones are meant, or torn.
MOST_REACH_SHARE = 0.25
_PROPOSALS = {
    "mesh.degenerate": "drop faces without area",
    "mesh.duplicate_faces": "drop doubled faces",
    "mesh.flipped": "turn flipped faces",
    "mesh.inside_out": "turn the surface over",
    "body.inside_out": "turn bodies over that are inside out",
    "mesh.open_edges": "merge vertices along cracks; holes are closed only with --fill-holes",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One repair: how many things it changed, and the farthest any point of the surface is from where it was."""

    name: str
    changed: int
    moved_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Repaired:
    """A repaired mesh and the steps that changed something."""

    solid: Solid
    steps: tuple[Step, ...]

    def to_dict(self, before_mm3: float) -> dict[str, Any]:
        """Return what changed as JSON."""
        after = float(self.solid.body_volumes.sum())
        bound = sum(step.moved_mm for step in self.steps)
        words = [f"repair: {step.name}: {step.changed}" for step in self.steps] or ["repair: nothing to do"]
        return {
            "steps": [
                {"name": step.name, "changed": step.changed, "moved_mm": round(step.moved_mm, 4)}
                for step in self.steps
            ],
            "volume_before_mm3": round(before_mm3, 4),
            "volume_after_mm3": round(after, 4),
            "hausdorff_bound_mm": round(bound, 4),
            "words": [
                *words,
                f"repair: volume {before_mm3:.4g} -> {after:.4g} mm³, surface moved by {bound:.3g} mm at most",
            ],
        }


def proposals(finding_ids: list[str]) -> list[str]:
    """Return what `--repair` would do about these findings."""
    return [words for identity, words in _PROPOSALS.items() if identity in finding_ids]


def repair(solid: Solid, *, crack_mm: float, fills_holes: bool) -> Repaired:
    """Return a repaired copy. Nothing is done that changes a sound mesh."""
    steps: list[Step] = []
    solid = _without_surplus(solid, steps)
    solid = _merged_cracks(solid, crack_mm, steps)
    solid = _wound(solid, steps)
    if fills_holes:
        solid = _filled(solid, steps)
    solid = _turned_out(solid, steps)
    return Repaired(solid, tuple(step for step in steps if step.changed))


def write_stl(solid: Solid, path: Path) -> None:
    """Write a binary STL, complete or not at all."""
    facets = np.zeros(
        solid.count, dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    )
    facets["normal"] = solid.normals
    facets["corners"] = solid.vertices[solid.faces]
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(f"repaired by fabunit {__version__}".encode().ljust(80) + struct.pack("<I", solid.count))
        file.write(facets.tobytes())
    part.replace(path)


def _rebuilt(vertices: F64, faces: I64 | I32) -> Solid:
    """Index a mesh anew: the hash has no secret to keep here, so any seed does."""
    return Solid.merge(SoupSource(vertices[faces].astype(np.float32)), VertexHash(1))


def _without_surplus(solid: Solid, steps: list[Step]) -> Solid:
    faces = solid.faces
    collapsed = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    doubled = np.zeros(solid.count, dtype=bool)
    same = duplicates(solid)
    if len(same):
        # Those back to back are where bodies touch, and stay.
        doubled[same[~back_to_back(solid, same)]] = True
    steps.append(Step("dropped faces without extent", int(collapsed.sum())))
    steps.append(Step("dropped doubled faces", int((doubled & ~collapsed).sum())))
    keep = ~(collapsed | doubled)
    return solid if keep.all() else _rebuilt(solid.vertices, faces[keep])


def _merged_cracks(solid: Solid, crack_mm: float, steps: list[Step]) -> Solid:
    rim = np.unique(_open_halves(solid)[0])
    if len(rim) == 0:
        return solid
    groups, count = cluster(solid.vertices[rim], crack_mm / 4)
    if count == len(rim):
        return solid
    first = np.full(count, len(solid.vertices))
    np.minimum.at(first, groups, rim)
    vertices = solid.vertices.copy()
    moved = float(np.sqrt(((vertices[rim] - vertices[first[groups]]) ** 2).sum(axis=1)).max())
    vertices[rim] = vertices[first[groups]]
    steps.append(Step("merged vertices along cracks", len(rim) - count, moved))
    merged = _rebuilt(vertices, solid.faces)
    collapsed = (merged.faces == np.roll(merged.faces, 1, axis=1)).any(axis=1)
    return merged if not collapsed.any() else _rebuilt(merged.vertices, merged.faces[~collapsed])


def _edges(solid: Solid) -> tuple[I64, I64, I64]:
    """Return the half-edges sorted by edge: half-edge numbers, where edges begin, how many faces each has."""
    following = solid.faces[:, (1, 2, 0)]
    low, high = np.minimum(solid.faces, following), np.maximum(solid.faces, following)
    keys = (low.astype(np.int64) * len(solid.vertices) + high).reshape(-1)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.concatenate(([True], keys[order][1:] != keys[order][:-1])))
    return order, starts, np.diff(np.append(starts, len(order)))


def _open_halves(solid: Solid) -> tuple[I64, I64]:
    """Return the ends (n, 2) of edges with one face, in its direction, and that face."""
    order, starts, counts = _edges(solid)
    halves = order[starts[counts == 1]]
    face, corner = np.divmod(halves, 3)
    ends = np.stack([solid.faces[face, corner], solid.faces[face, (corner + 1) % 3]], axis=1)
    return ends.astype(np.int64), face


def _wound(solid: Solid, steps: list[Step]) -> Solid:
    """Make neighbours agree: patches that already agree are turned as a whole, the smaller ones."""
    order, starts, counts = _edges(solid)
    at = starts[counts == 2]
    one, two = order[at], order[at + 1]
    face_a, corner_a = np.divmod(one, 3)
    face_b, corner_b = np.divmod(two, 3)
    same = solid.faces[face_a, corner_a] == solid.faces[face_b, corner_b]
    patch, count = renumber(components(solid.count, face_a[~same], face_b[~same]))
    pairs = np.unique(np.stack([patch[face_a[same]], patch[face_b[same]]], axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if len(pairs) == 0:
        return solid
    areas = np.bincount(patch, weights=solid.areas, minlength=count).astype(np.float64)
    turned = _two_sides(pairs, areas, count)
    flip = turned[patch]
    steps.append(Step("turned flipped faces", int(flip.sum())))
    faces = solid.faces.copy()
    faces[flip] = faces[flip][:, ::-1]
    return _rebuilt(solid.vertices, faces)


def _two_sides(pairs: I64, areas: F64, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which patches to turn so that no pair disagrees, turning the lighter side of each group."""
    neighbours: dict[int, list[int]] = {}
    for one, two in pairs.tolist():
        neighbours.setdefault(one, []).append(two)
        neighbours.setdefault(two, []).append(one)
    side = np.full(count, -1)
    turned = np.zeros(count, dtype=bool)
    for start in neighbours:
        if side[start] >= 0:
            continue
        side[start], group, waiting = 0, [start], [start]
        while waiting:
            here = waiting.pop()
            for other in neighbours[here]:
                if side[other] < 0:
                    side[other] = 1 - side[here]
                    group.append(other)
                    waiting.append(other)
        members = np.array(group)
        weight = [float(areas[members[side[members] == which]].sum()) for which in (0, 1)]
        turned[members[side[members] == (0 if weight[0] < weight[1] else 1)]] = True
    return turned


def _filled(solid: Solid, steps: list[Step]) -> Solid:
    """Close holes with a fan around the middle of their rim."""
    ends, _ = _open_halves(solid)
    if len(ends) == 0:
        return solid
    vertices, faces = [solid.vertices], [solid.faces.astype(np.int64)]
    closed, reach, first = 0, 0.0, len(solid.vertices)
    most_mm = MOST_REACH_SHARE * float((solid.vertices.max(axis=0) - solid.vertices.min(axis=0)).max())
    for loop in _loops(ends):
        if not 3 <= len(loop) <= MOST_RIM_EDGES:
            continue
        points = solid.vertices[loop]
        middle = points.mean(axis=0)
        radius = float(np.sqrt(((points - middle) ** 2).sum(axis=1)).max())
        if radius > most_mm:
            continue
        reach = max(reach, radius)
        vertices.append(middle[None, :])
        # Against the rim's direction, so that both faces of its edges agree.
        faces.append(np.stack([np.roll(loop, -1), loop, np.full(len(loop), first)], axis=1))
        first += 1
        closed += 1
    if not closed:
        return solid
    steps.append(Step("closed holes", closed, reach))
    return _rebuilt(np.concatenate(vertices), np.concatenate(faces))


def _loops(ends: I64) -> list[I64]:
    """Return the rims (vertex numbers in the direction of their edges); rims that touch in a vertex come apart."""
    following: dict[int, list[int]] = {}
    for start, end in ends.tolist():
        following.setdefault(start, []).append(end)
    found: list[I64] = []
    for origin in sorted(following):
        path, here = [origin], origin
        while following.get(here):
            here = following[here].pop()
            if here in path:
                at = path.index(here)
                found.append(np.array(path[at:], dtype=np.int64))
                path = path[: at + 1]
            else:
                path.append(here)
    return found


def _turned_out(solid: Solid, steps: list[Step]) -> Solid:
    """Turn over bodies that are inside out and no void of another."""
    labels, count = solid.bodies
    is_inner = depths(solid) % 2 == 1 if count <= MOST_BODIES else np.zeros(count, dtype=bool)
    wrong = (solid.body_volumes < 0) & ~is_inner
    if not wrong.any():
        return solid
    # What lies in a body that is turned over is as wrong as it: its voids look like matter.
    low, high = solid.body_bounds
    for body in np.flatnonzero(wrong):
        inside = (low >= low[body]).all(axis=1) & (high <= high[body]).all(axis=1)
        wrong |= inside & is_inner & (solid.body_volumes > 0)
    flip = wrong[labels]
    steps.append(Step("turned bodies over", int(wrong.sum())))
    faces = solid.faces.copy()
    faces[flip] = faces[flip][:, ::-1]
    return _rebuilt(solid.vertices, faces)
