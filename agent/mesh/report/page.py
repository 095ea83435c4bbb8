"""One HTML page with everything in it: verdict, findings, pictures, and a viewer to turn the part."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from typing import Any

import numpy as np

from agent.mesh.arrays import F64, I64
from agent.mesh.geometry.part import Part
from agent.mesh.report import text
from agent.mesh.report.palette import colour_of

MOST_FACES = 120_000  # in the page; finer meshes are thinned for display
_MOST_LAYERS = 30  # findings that can be toggled: bits of a whole number in JavaScript
_GRID_START = 220


def page(part: Part, painted: dict[str, I64], document: dict[str, Any], name: str, picture: bytes) -> bytes:
    """Return the page: UTF-8, no link to anything outside, no inline event handlers."""
    layers = [found["id"] for found in document["findings"] if found["id"] in painted][:_MOST_LAYERS]
    vertices, faces, masks = _display(part, [painted[identity] for identity in layers])
    low = part.survey.low
    span = float(part.survey.size.max()) or 1.0
    positions = np.round((vertices - low) / span * 65535).astype("<u2")
    model = {
        "span": span,
        "low": [float(value) for value in low],
        "size": [float(value) for value in part.survey.size],
        "positions": base64.b64encode(positions.tobytes()).decode(),
        "faces": base64.b64encode(faces.astype("<u4").tobytes()).decode(),
        "masks": base64.b64encode(masks.astype("<u4").tobytes()).decode(),
        "layers": [{"id": identity, "colour": colour_of(identity)} for identity in layers],
        "findings": [
            {
                "id": found["id"],
                "places": [place["at_mm"] for place in found["places"]],
                "colour": colour_of(found["id"]),
            }
            for found in document["findings"]
        ],
    }
    template = files("agent.mesh.report").joinpath("page.html").read_text(encoding="utf-8")
    values = {
        "@@NAME@@": html.escape(name),
        "@@VERDICT@@": html.escape(text.verdict_line(document)),
        "@@KIND@@": html.escape(document["verdict"]),
        "@@FACTS@@": _facts(document),
        "@@FINDINGS@@": "".join(
            _finding(number, found, layers) for number, found in enumerate(document["findings"])
        ),
        "@@CHECKS@@": "".join(_check(run) for run in document["checks"]),
        "@@PICTURE@@": base64.b64encode(picture).decode(),
        "@@MODEL@@": json.dumps(model, separators=(",", ":")).replace("<", "\\u003c"),
    }
    # One pass: what a value contains is never replaced again.
    parts = template.split("@@")
    filled = [values.get(f"@@{piece}@@", piece) for piece in parts]
    return "".join(filled).encode()


def _display(part: Part, painted: list[I64]) -> tuple[F64, I64, I64]:
    """Return vertices, faces and a bit mask of findings per face, with at most `MOST_FACES` faces."""
    solid = part.solid
    masks = np.zeros(solid.count, dtype=np.int64)
    for bit, faces in enumerate(painted):
        masks[faces] |= 1 << bit
    vertices, faces = solid.vertices, solid.faces.astype(np.int64)
    cells = _GRID_START
    while len(faces) > MOST_FACES:
        vertices, faces, masks = _thinned(
            solid.vertices, solid.faces.astype(np.int64), masks_of(solid.count, painted), cells
        )
        cells = cells * 4 // 5
    return vertices, faces, masks


def masks_of(count: int, painted: list[I64]) -> I64:
    """Return a whole number per face with a bit for each finding that it belongs to."""
    masks = np.zeros(count, dtype=np.int64)
    for bit, faces in enumerate(painted):
        masks[faces] |= 1 << bit
    return masks


def _thinned(vertices: F64, faces: I64, masks: I64, cells: int) -> tuple[F64, I64, I64]:
    """Merge the vertices of each cell of a grid and drop faces that vanish: crude, even, and quick."""
    low, span = vertices.min(axis=0), float((vertices.max(axis=0) - vertices.min(axis=0)).max()) or 1.0
    grid = np.floor((vertices - low) / span * (cells - 1)).astype(np.int64)
    keys = (grid[:, 0] * cells + grid[:, 1]) * cells + grid[:, 2]
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    moved = number[faces]
    alive = (moved[:, 0] != moved[:, 1]) & (moved[:, 1] != moved[:, 2]) & (moved[:, 2] != moved[:, 0])
    return vertices[first], moved[alive], masks[alive]


def _facts(document: dict[str, Any]) -> str:
    rows = [
        *text.facts(document),
        ("printer", document["limits"]["profile"]),
        ("in", document["limits"]["material"].upper()),
    ]
    return "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows)


def _finding(number: int, found: dict[str, Any], layers: list[str]) -> str:
    red, green, blue = colour_of(found["id"])
    bit = layers.index(found["id"]) if found["id"] in layers else -1
    limit = text.limit_of(found)
    where = "; ".join(text.place(place) for place in found["places"][:3])
    told = " · ".join(part for part in (limit, where) if part)
    return (
        f'<li class="{html.escape(found["severity"])}" data-finding="{number}" data-bit="{bit}">'
        f'<label><input type="checkbox" checked><i style="background:rgb({red},{green},{blue})"></i>'
        f"<b>{html.escape(found['id'])}</b> {html.escape(found['message'])}</label>"
        f"<p>{html.escape(found['remedy'])}</p><small>{html.escape(told)}</small></li>"
    )


def _check(run: dict[str, str]) -> str:
    detail = f" ({html.escape(run['detail'])})" if run["detail"] else ""
    return f"<li><b>{html.escape(run['id'])}</b> {html.escape(run['status'])}{detail}</li>"
