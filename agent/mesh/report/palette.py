"""One colour per finding, the same in pictures, page and terminal legend. Pure."""

from __future__ import annotations

Colour = tuple[int, int, int]

_COLOURS: dict[str, Colour] = {
    "mesh.open_edges": (214, 39, 40),
    "mesh.flipped": (148, 103, 189),
    "mesh.nonmanifold_edges": (140, 86, 75),
    "mesh.self_intersection": (227, 119, 194),
    "mesh.duplicate_faces": (188, 128, 189),
    "mesh.shared_edges": (190, 186, 218),
    "wall.thin": (255, 127, 14),
    "floor.thin": (253, 191, 60),
    "gap.narrow": (44, 160, 144),
    "pin.thin": (31, 119, 180),
    "hole.small": (23, 158, 207),
    "overhang.area": (232, 84, 60),
    "island": (200, 0, 90),
    "bridge.span": (120, 94, 240),
    "shelf.reach": (180, 70, 160),
    "body.floating": (200, 0, 90),
    "body.void": (100, 143, 255),
    "body.nested": (120, 150, 90),
    "body.inside_out": (148, 103, 189),
}
_OTHER: Colour = (90, 90, 90)


def colour_of(finding_id: str) -> Colour:
    """Return the colour of a finding."""
    return _COLOURS.get(finding_id, _OTHER)
