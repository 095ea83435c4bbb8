"""A view of the part as pixels: orthographic, shaded, findings painted. numpy only, no graphics stack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F32, F64, I64, U8
from agent.mesh.geometry.raster import cover

BACKGROUND = (250, 250, 248)
PLAIN = (176, 184, 194)
_BED = (226, 229, 233)
_AMBIENT = 0.42
_LIGHT = np.array([-0.35, 0.45, 0.82])  # in the view's frame: from the upper left, before the part
_RIM = 0.72  # edges of the outline and of bends are drawn this dark
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Camera:
    """An orthographic view: rows of `frame` are right, up, towards the eye; `scale` in pixels per mm."""

    frame: F64
    middle: F64
    scale: float
    width: int
    height: int

    def project(self, points: F64) -> F64:
        """Return x, y in pixels (y downwards) and depth (larger is nearer) of points (..., 3) in mm."""
        seen = (points - self.middle) @ self.frame.T
        seen = seen * self.scale
        seen[..., 0] += self.width / 2
        seen[..., 1] = self.height / 2 - seen[..., 1]
        return np.asarray(seen)


def look(low: F64, high: F64, azimuth_deg: float, elevation_deg: float, size: tuple[int, int]) -> Camera:
    """Return a camera from a direction (degrees; elevation below 0 looks from below) that sees the whole box."""
    width, height = size
    turn, tilt = math.radians(azimuth_deg), math.radians(elevation_deg)
    eye = np.array([math.cos(tilt) * math.cos(turn), math.cos(tilt) * math.sin(turn), math.sin(tilt)])
    right = np.array([-math.sin(turn), math.cos(turn), 0.0])
    up = np.cross(eye, right)
    frame = np.stack([right, up, eye])
    middle = (low + high) / 2
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    reach = np.abs((corners - middle) @ frame.T).max(axis=0)
    scale = 0.46 * min(width / max(reach[0], 1e-6) / 1.0, height / max(reach[1], 1e-6) / 1.0)
    return Camera(frame, middle, scale, width, height)


def draw(vertices: F64, faces: I64, colours: U8, camera: Camera) -> U8:
    """Return an image (height, width, 3); `colours` (F, 3) are those of the faces in full light."""
    depth = np.full(camera.width * camera.height, -np.inf)
    owner = np.full(camera.width * camera.height, -1, dtype=np.int64)
    for start in range(0, len(faces), _BLOCK):
        seen = camera.project(vertices[faces[start : start + _BLOCK]])
        for found in cover(seen, (camera.height, camera.width)):
            pixel = found.rows * camera.width + found.columns
            np.maximum.at(depth, pixel, found.heights)
            nearest = found.heights == depth[pixel]
            owner[pixel[nearest]] = found.triangles[nearest] + start
    return _shaded(vertices, faces, colours, camera, (depth, owner))


def _shaded(vertices: F64, faces: I64, colours: U8, camera: Camera, buffers: tuple[F64, I64]) -> U8:
    depth, owner = buffers
    image = np.empty((camera.height * camera.width, 3), dtype=np.float32)
    image[:] = BACKGROUND
    hit = np.flatnonzero(owner >= 0)
    seen, inverse = np.unique(owner[hit], return_inverse=True)
    a, b, c = (vertices[faces[seen, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a) @ camera.frame.T
    normal /= np.maximum(np.sqrt((normal**2).sum(axis=1)), 1e-30)[:, None]
    # Faces are seen from both sides: what looks away is lit as if turned.
    normal *= np.where(normal[:, 2:] < 0, -1.0, 1.0)
    light = _LIGHT / np.sqrt((_LIGHT**2).sum())
    brightness = _AMBIENT + (1 - _AMBIENT) * np.clip(normal @ light, 0.0, 1.0)
    lit = colours[seen].astype(np.float64) * brightness[:, None]
    image[hit] = lit.astype(np.float32)[inverse]
    image *= _outline(depth, camera).reshape(-1, 1)
    return np.clip(image, 0, 255).astype(np.uint8).reshape(camera.height, camera.width, 3)


def _outline(depth: F64, camera: Camera) -> F64:
    """Return 1, or less where the depth jumps: edges stand out without lines."""
    levels = np.where(np.isfinite(depth), depth, -1e9).reshape(camera.height, camera.width)
    jump = np.zeros_like(levels, dtype=bool)
    step = 6.0  # pixels of depth between neighbours
    jump[:, 1:] |= np.abs(levels[:, 1:] - levels[:, :-1]) > step
    jump[1:, :] |= np.abs(levels[1:, :] - levels[:-1, :]) > step
    return np.where(jump, _RIM, 1.0)


def bed(low: F64, high: F64) -> tuple[F64, I64, U8]:
    """Return a plate under the part as two triangles with colours, a little larger than the part."""
    border = 0.06 * float((high - low)[:2].max())
    x0, y0, x1, y1 = low[0] - border, low[1] - border, high[0] + border, high[1] + border
    z = float(low[2]) - 0.004 * float((high - low).max())
    vertices = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return vertices, faces, np.array([_BED, _BED], dtype=np.uint8)


def face_colours(count: int, painted: list[tuple[I64, tuple[int, int, int]]]) -> U8:
    """Return a colour per face; later entries of `painted` lie over earlier ones."""
    colours = np.empty((count, 3), dtype=np.uint8)
    colours[:] = PLAIN
    for faces, colour in painted:
        colours[faces] = colour
    return colours


def shrink(image: U8, factor: int) -> U8:
    """Return the image with `factor` x `factor` pixels averaged: smooth edges."""
    height, width, _ = image.shape
    blocks: F32 = image.reshape(height // factor, factor, width // factor, factor, 3).astype(np.float32)
    return np.asarray(blocks.mean(axis=(1, 3)).round()).astype(np.uint8)
