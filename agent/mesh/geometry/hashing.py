"""Vertices as 64-bit hashes of their float32 bits: equal positions, equal numbers, without an index."""

from __future__ import annotations

import numpy as np

from agent.mesh.arrays import F32, U64

_SHIFT = np.uint64(32)
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


class VertexHash:
    """A hash seeded by the file, so that no file can be made to collide for everybody."""

    def __init__(self, seed: int) -> None:
        self._factors = [np.uint64((factor ^ (seed << 1)) & (2**64 - 1) | 1) for factor in _FACTORS]

    def __call__(self, corners: F32) -> U64:
        """Return hashes with the shape of `corners` without its last axis; -0 counts as 0."""
        # + 0.0 makes -0 into 0, which has other bits.
        bits = (corners + np.float32(0.0)).view(np.uint32).astype(np.uint64)
        mixed = bits[..., 0] * self._factors[0]
        mixed ^= mixed >> _SHIFT
        mixed += bits[..., 1]
        mixed *= self._factors[1]
        mixed ^= mixed >> _SHIFT
        mixed += bits[..., 2]
        mixed *= self._factors[2]
        mixed ^= mixed >> _SHIFT
        return np.asarray(mixed)
