"""Edges by the number and direction of the faces that use them, without an index."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from agent.mesh.arrays import I64, U8, U64
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.load.source import TriangleSource

_ONE = np.uint64(1)
_LOW = np.uint64(0x9E3779B97F4A7C15)
_HIGH = np.uint64(0xD6E8FEB86659FD93)
_PIECE = 1 << 20  # keys classified at once; bounds the memory of temporaries
MAX_BAD_EDGES = 2_000_000  # beyond that places are no help to anybody


class EdgeClass(IntEnum):
    """What is wrong with an edge."""

    OPEN = 1
    FLIPPED = 2
    SHARED = 3  # more than two faces, directions balanced: bodies that touch
    TANGLED = 4  # more than two faces, unbalanced


@dataclass(frozen=True, slots=True)
class EdgeCensus:
    """How many edges there are of each class; `bad_keys` are the sorted keys of those that are not sound."""

    edges: int
    open: int
    flipped: int
    shared: int
    tangled: int
    bad_keys: U64
    bad_classes: U8

    @property
    def is_closed(self) -> bool:
        """No edge is open or tangled."""
        return self.open == 0 and self.tangled == 0


def edge_keys(hashes: U64) -> U64:
    """Return keys (n, 3) of the edges of triangles with vertex hashes (n, 3); the lowest bit is the direction.

    Edges of facets with two equal corners get the key 0: such a facet covers nothing and closes nothing.
    """
    other = hashes[:, (1, 2, 0)]
    forward = hashes < other
    low: U64 = np.where(forward, hashes, other)
    high: U64 = np.where(forward, other, hashes)
    keys: U64 = low * _LOW + high * _HIGH
    keys ^= keys >> np.uint64(29)
    keys = (keys << _ONE) | forward
    collapsed = (hashes == other).any(axis=1)
    if collapsed.any():
        keys[collapsed] = 0
    return keys


def census(keys: U64) -> EdgeCensus:
    """Count edges by class. Sorts `keys` (flat) in place."""
    keys.sort()
    keys = keys[np.searchsorted(keys, _ONE) :]
    totals = np.zeros(5, dtype=np.int64)
    edges = 0
    bad_keys: list[U64] = []
    bad_classes: list[U8] = []
    start = 0
    while start < len(keys):
        stop = min(start + _PIECE, len(keys))
        if stop < len(keys):
            # A group of equal edges must not be cut.
            stop = int(np.searchsorted(keys, (keys[stop] >> _ONE) << _ONE)) or len(keys)
            if stop <= start:
                stop = int(np.searchsorted(keys, keys[start] | _ONE, side="right"))
        found, classes = _classify(keys[start:stop])
        edges += len(found)
        bad = classes > 0
        totals += np.bincount(classes, minlength=5)
        bad_keys.append(found[bad])
        bad_classes.append(classes[bad])
        start = stop
    empty = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint8)
    return EdgeCensus(
        edges,
        int(totals[EdgeClass.OPEN]),
        int(totals[EdgeClass.FLIPPED]),
        int(totals[EdgeClass.SHARED]),
        int(totals[EdgeClass.TANGLED]),
        np.concatenate([empty[0], *bad_keys])[:MAX_BAD_EDGES],
        np.concatenate([empty[1], *bad_classes])[:MAX_BAD_EDGES],
    )


def _classify(keys: U64) -> tuple[U64, U8]:
    """Return the edges in sorted keys and the class of each (0: two faces, opposite directions)."""
    edges = keys >> _ONE
    if len(keys) % 2 == 0:
        # The usual case: every edge twice, once in each direction.
        first, second = keys[0::2], keys[1::2]
        if ((first ^ second) == _ONE).all() and (edges[0::2][1:] != edges[0::2][:-1]).all():
            return edges[0::2], np.zeros(len(first), dtype=np.uint8)
    starts = np.flatnonzero(np.concatenate(([True], edges[1:] != edges[:-1])))
    counts = np.diff(np.append(starts, len(keys)))
    forward = np.add.reduceat((keys & _ONE).astype(np.int64), starts)
    classes = np.zeros(len(starts), dtype=np.uint8)
    classes[counts == 1] = EdgeClass.OPEN
    classes[(counts == 2) & (forward != 1)] = EdgeClass.FLIPPED
    classes[(counts > 2) & (2 * forward == counts)] = EdgeClass.SHARED
    classes[(counts > 2) & (2 * forward != counts)] = EdgeClass.TANGLED
    return edges[starts], classes


@dataclass(frozen=True, slots=True)
class BadEdges:
    """Half-edges of unsound edges: face, class, both ends in mm (n, 2, 3) and as hashes (n, 2)."""

    faces: I64
    classes: U8
    ends: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    hashes: U64


def locate(source: TriangleSource, hasher: VertexHash, found: EdgeCensus) -> BadEdges:
    """Walk the mesh again for the places of the unsound edges."""
    faces: list[I64] = []
    classes: list[U8] = []
    ends: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    hashes: list[U64] = []
    first = 0
    for corners in source.blocks():
        hashed = hasher(corners)
        edges = edge_keys(hashed) >> _ONE
        at = np.minimum(np.searchsorted(found.bad_keys, edges), len(found.bad_keys) - 1)
        rows, columns = np.nonzero(found.bad_keys[at] == edges)
        following = (columns + 1) % 3
        faces.append(rows.astype(np.int64) + first)
        classes.append(found.bad_classes[at[rows, columns]])
        ends.append(np.stack([corners[rows, columns], corners[rows, following]], axis=1))
        hashes.append(np.stack([hashed[rows, columns], hashed[rows, following]], axis=1))
        first += len(corners)
    return BadEdges(
        np.concatenate(faces), np.concatenate(classes), np.concatenate(ends), np.concatenate(hashes)
    )
