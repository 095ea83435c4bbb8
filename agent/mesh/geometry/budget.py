"""Work that would take more memory or time than a check may."""

from __future__ import annotations


class OverBudgetError(Exception):
    """The part has more triangles, or they are more tangled, than this machine can look at in detail."""
