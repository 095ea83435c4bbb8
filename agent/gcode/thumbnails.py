"""Preview pictures that slicers put into the head of a file.

PrusaSlicer, SuperSlicer and OrcaSlicer write `; thumbnail begin 220x124 9140`, base64 lines, `; thumbnail end`, with
`thumbnail_JPG` and `thumbnail_QOI` for other formats; Cura's plug-in does the same. The bytes come from outside: only
what begins like the format it claims to be is returned, and nothing is decoded.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

MAX_THUMBNAILS = 16
MAX_PICTURE_BYTES = 1 << 20
MAX_SIDE_PX = 4096

_BLOCK = re.compile(
    rb"^; ?thumbnail(?:_(?P<kind>[A-Z]{3}))? begin (?P<width>\d{1,4})[x ](?P<height>\d{1,4})[^\n]{0,40}\n"
    rb"(?P<lines>(?:; ?[A-Za-z0-9+/=]{0,200}\n){1,20000})"
    rb"; ?thumbnail(?:_[A-Z]{3})? end",
    re.MULTILINE,
)
_MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff", "qoi": b"qoif"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture: claimed size in pixels, `png`, `jpg` or `qoi`, and its bytes."""

    width_px: int
    height_px: int
    format: str
    data: bytes


def read_thumbnails(head: bytes) -> tuple[Thumbnail, ...]:
    """Return the pictures in the head of a file, largest first; broken ones are left out."""
    found: list[Thumbnail] = []
    for block in _BLOCK.finditer(head.replace(b"\r\n", b"\n")):
        picture = _picture(block)
        if picture is not None:
            found.append(picture)
        if len(found) >= MAX_THUMBNAILS:
            break
    return tuple(sorted(found, key=lambda picture: -picture.width_px * picture.height_px))


def _picture(block: re.Match[bytes]) -> Thumbnail | None:
    width, height = int(block["width"]), int(block["height"])
    text = re.sub(rb"[; \n]", b"", block["lines"])
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX) or len(text) > MAX_PICTURE_BYTES * 4 // 3:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    for name, magic in _MAGIC.items():
        if data.startswith(magic):
            return Thumbnail(width, height, name, data)
    return None
