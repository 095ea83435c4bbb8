"""Connected components of a graph given as pairs, in a few vectorised rounds."""

from __future__ import annotations

import numpy as np

from agent.mesh.arrays import I64


def components(count: int, first: I64, second: I64) -> I64:
    """Return for each of `count` nodes the smallest node of its component; pairs are undirected.

    Hooks roots onto smaller roots and halves paths until no pair lies between two components: a logarithmic number of
    rounds, each over the pairs that are still open.
    """
    labels = np.arange(count, dtype=np.int64)
    first, second = first.astype(np.int64, copy=False), second.astype(np.int64, copy=False)
    while len(first):
        one, two = labels[first], labels[second]
        low, high = np.minimum(one, two), np.maximum(one, two)
        np.minimum.at(labels, high, low)
        while True:
            jumped = labels[labels]
            if np.array_equal(jumped, labels):
                break
            labels = jumped
        open_ = labels[first] != labels[second]
        first, second = first[open_], second[open_]
    return labels


def renumber(labels: I64) -> tuple[I64, int]:
    """Return labels 0..n-1 in the order of the smallest node of each component, and n."""
    names, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.int64), len(names)
