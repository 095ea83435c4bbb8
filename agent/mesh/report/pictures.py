"""Pictures of a part with its findings painted, drawn without any graphics stack."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agent.mesh.arrays import F64, I64, U8
from agent.mesh.geometry.part import Part
from agent.mesh.report.palette import Colour, colour_of
from agent.mesh.report.raster_view import Camera, bed, draw, face_colours, look, shrink
from agent.mesh.report.text import verdict_line

_VIEWS = (("from above", -55.0, 28.0), ("from below", 125.0, -32.0))
_SIZE = (640, 520)  # of one view
_OVERSAMPLING = 2
_LEGEND_LINE = 22
_MARGIN = 14
_RING = 9
_INK: Colour = (40, 44, 52)
_MOST_LINES = 12
_VERDICT_INK: dict[str, Colour] = {
    "printable": (30, 130, 60),
    "printable_with_warnings": (190, 120, 0),
    "not_printable": (190, 30, 30),
    "undetermined": (120, 60, 150),
}


def overview(part: Part, painted: dict[str, I64], document: dict[str, Any], name: str) -> bytes:
    """Return a PNG: two views side by side with findings painted and numbered, and a legend."""
    legend = _shown(document)
    width, height = 2 * _SIZE[0], _SIZE[1] + 2 * _MARGIN + _LEGEND_LINE * (len(legend) + 2)
    sheet = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    # The worst is painted last, over the others.
    shown = [(found["id"], painted[found["id"]]) for found in reversed(legend) if found["id"] in painted]
    vertices, faces, colours = _scene(part, shown)
    for number, (title, azimuth, elevation) in enumerate(_VIEWS):
        size = (_SIZE[0] * _OVERSAMPLING, _SIZE[1] * _OVERSAMPLING)
        camera = look(part.survey.low, part.survey.high, azimuth, elevation, size)
        keep = (
            slice(None) if elevation > 0 else slice(0, len(faces) - 2)
        )  # the plate would hide the underside
        image = shrink(draw(vertices, faces[keep], colours[keep], camera), _OVERSAMPLING)
        left = number * _SIZE[0]
        sheet.paste(Image.fromarray(image), (left, 0))
        pen.text((left + 12, 10), title, fill=_INK, font=_font(14))
        _rings(pen, camera, legend, left)
    _legend(pen, document, legend, name, _SIZE[1] + _MARGIN)
    content = io.BytesIO()
    sheet.save(content, "PNG", optimize=False, compress_level=6)
    return content.getvalue()


def _shown(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the findings that are painted: errors and warnings, or remarks if there is nothing else."""
    bad = [found for found in document["findings"] if found["severity"] != "info"]
    return (bad or document["findings"])[:_MOST_LINES]


def _scene(part: Part, shown: list[tuple[str, I64]]) -> tuple[F64, I64, U8]:
    solid = part.solid
    colours = face_colours(solid.count, [(faces, colour_of(identity)) for identity, faces in shown])
    plate_vertices, plate_faces, plate_colours = bed(part.survey.low, part.survey.high)
    return (
        np.concatenate([solid.vertices, plate_vertices]),
        np.concatenate([solid.faces, plate_faces + len(solid.vertices)]),
        np.concatenate([colours, plate_colours]),
    )


def _rings(pen: ImageDraw.ImageDraw, camera: Camera, legend: list[dict[str, Any]], left: int) -> None:
    """Mark the places of findings with numbered rings; they show through the part."""
    for number, found in enumerate(legend, 1):
        for place in found["places"][:3]:
            x, y, _ = camera.project(np.array(place["at_mm"])) / _OVERSAMPLING
            box = (left + x - _RING, y - _RING, left + x + _RING, y + _RING)
            pen.ellipse(box, outline=(255, 255, 255), width=4)
            pen.ellipse(box, outline=colour_of(found["id"]), width=2)
            pen.text((left + x + _RING + 2, y - _RING), str(number), fill=_INK, font=_font(13))


def _legend(
    pen: ImageDraw.ImageDraw, document: dict[str, Any], legend: list[dict[str, Any]], name: str, top: int
) -> None:
    shown = "".join(char if char.isprintable() else "?" for char in name)[:70]
    pen.text((16, top), shown, fill=_INK, font=_font(16))
    verdict = verdict_line(document)
    pen.text(
        (16 + pen.textlength(shown + "   ", font=_font(16)), top),
        verdict,
        fill=_VERDICT_INK[document["verdict"]],
        font=_font(16),
    )
    size = " x ".join(f"{side:.1f}" for side in document["mesh"]["size_mm"])
    limits = document["limits"]
    facts = f"{size} mm, {limits['profile']}, {limits['material'].upper()}"
    left = 2 * _SIZE[0] - 16 - pen.textlength(facts, font=_font(14))
    pen.text((left, top + 1), facts, fill=_INK, font=_font(14))
    for number, found in enumerate(legend, 1):
        y = top + 8 + _LEGEND_LINE * number
        pen.rectangle((16, y + 3, 28, y + 15), fill=colour_of(found["id"]))
        pen.text((36, y), _plain(f"{number}  {found['id']}: {found['message']}"), fill=_INK, font=_font(14))


def _plain(words: str) -> str:
    """Write powers as the built-in font can."""
    return words.replace("²", "^2").replace("³", "^3")[:150]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
