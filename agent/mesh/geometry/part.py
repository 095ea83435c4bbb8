"""Everything the checks may ask of a part; what is dear is made at the first question."""

from __future__ import annotations

from functools import cached_property

from agent.mesh.geometry.budget import OverBudgetError
from agent.mesh.geometry.columns import Columns
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.layers import Hanging, Layers, hanging
from agent.mesh.geometry.rays import RayGrid
from agent.mesh.geometry.solid import Solid
from agent.mesh.geometry.survey import Survey
from agent.mesh.geometry.thickness import Thickness, measure
from agent.mesh.limits import Limits
from agent.mesh.load.source import TriangleSource

_TORN_SHARE = 0.2
_FAR_TOO_LONG = 20.0  # times the printer: nothing finer than the size is worth a look


class Part:
    """A mesh under examination. `seed` comes from the file's digest: the same file gives the same samples."""

    def __init__(
        self, source: TriangleSource, survey: Survey, limits: Limits, *, seed: int, budget_triangles: int
    ) -> None:
        self.source = source
        self.survey = survey
        self.limits = limits
        self.seed = seed
        self.hasher = VertexHash(seed)
        self._budget = budget_triangles

    @property
    def base_mm(self) -> float:
        """The height of the bed in the model's coordinates: the part stands on its lowest point."""
        return float(self.survey.low[2])

    @property
    def place_radius_mm(self) -> float:
        """How near two troubles must be to count as one place."""
        return max(2.0, float(self.survey.size.max()) / 50)

    @cached_property
    def solid(self) -> Solid:
        """The indexed mesh. Raises OverBudgetError."""
        if self.survey.triangles > self._budget:
            raise OverBudgetError(
                f"{self.survey.triangles} triangles, {self._budget} can be looked at in detail on this machine"
            )
        return Solid.merge(self.source, self.hasher)

    @cached_property
    def rays(self) -> RayGrid:
        """The grid that answers rays. Raises OverBudgetError."""
        self._demand_surface()
        return RayGrid(self.solid)

    @cached_property
    def columns(self) -> Columns:
        """The part as vertical columns of matter, from the surface in blocks. Raises OverBudgetError if tangled."""
        self._demand_surface()
        return Columns.cast(self.source, self.survey, self.limits)

    def _demand_surface(self) -> None:
        """Inside and outside need a surface; of a heap of loose faces nothing more can be said."""
        edges = self.survey.edges
        if edges.open > _TORN_SHARE * edges.edges:
            raise OverBudgetError(f"no surface: {edges.open} of {edges.edges} edges are open")
        longest, room = float(self.survey.size.max()), max(self.limits.volume_mm)
        if not longest < _FAR_TOO_LONG * room:
            raise OverBudgetError(f"{longest:.3g} mm long, far more than the printer's {room:g} mm")

    @cached_property
    def layers(self) -> Layers:
        """The part as layers of cells, made from the columns."""
        return Layers.cut(self.columns, self.survey, self.limits)

    @cached_property
    def hanging(self) -> Hanging:
        """Cells of layers with nothing below them."""
        return hanging(self.layers)

    @cached_property
    def thickness(self) -> Thickness:
        """How thick the part and how narrow its gaps are at sampled points. Raises OverBudgetError."""
        return measure(self.solid, self.rays, self.limits, self.seed)
