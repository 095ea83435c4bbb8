"""Tells G-code text from everything else that people drop into a print queue, by its first bytes."""

from __future__ import annotations

import re

from agent.domain.errors import ArtefactError

HEAD_BYTES = 4096

_SLICE_IT = "slice it first, for example with PrusaSlicer, and queue the G-code"
_PLAIN_GCODE = "export plain .gcode from the slicer"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"SQLite format 3", "a database"),
)
_TEXT_MESHES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"solid\b[^\n]*\n\s*(?:facet|endsolid)", re.IGNORECASE), "STL"),
    (re.compile(rb"ply\r?\n"), "PLY"),
    (re.compile(rb"OFF\s+\d"), "OFF"),
    (re.compile(rb"ISO-10303-21"), "STEP"),
    (
        re.compile(rb"(?:#[^\n]*\n|\s|(?:mtllib|o|g|s|usemtl) [^\n]*\n)*v +-?[\d.]+ +-?[\d.]+ +-?[\d.]+"),
        "OBJ",
    ),
    (re.compile(rb"\s*<\?xml[^>]*>\s*(?:<!--.*?-->\s*)*<amf\b", re.DOTALL), "AMF"),
)
_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|body)\b", re.IGNORECASE)


def check_is_text_gcode(head: bytes, size_bytes: int, tail: bytes = b"") -> None:
    """Raise ArtefactError unless these first bytes can be G-code text.

    `head` has up to HEAD_BYTES bytes, `tail` the last ones, for archives. Codes: empty_file, mesh_unsupported,
    not_gcode.
    """
    text = head.removeprefix(b"\xef\xbb\xbf")
    if size_bytes == 0 or (size_bytes <= len(head) and not text.strip()):
        raise ArtefactError("the file is empty", code="empty_file", remedy="export it again from the slicer")
    _refuse_containers(head, tail)
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise ArtefactError(
                f"the file is {what}, not G-code", code="not_gcode", remedy="queue a G-code file"
            )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ArtefactError("the file is UTF-16 text", code="not_gcode", remedy="save it as UTF-8 or ASCII")
    if _is_binary_stl(head, size_bytes):
        raise _mesh("STL")
    for pattern, name in _TEXT_MESHES:
        if pattern.match(text):
            raise _mesh(name)
    if _HTML.match(text):
        raise ArtefactError(
            "the file is a web page, not G-code",
            code="not_gcode",
            remedy="download the file itself, not its page",
        )
    if b"\0" in head:
        raise ArtefactError("the file is binary, not G-code text", code="not_gcode", remedy=_PLAIN_GCODE)


def _refuse_containers(head: bytes, tail: bytes) -> None:
    if head.startswith(b"GCDE"):
        raise ArtefactError(
            "the file is binary G-code (.bgcode), which serial printers do not read",
            code="not_gcode",
            remedy="switch off binary G-code in the slicer and export again",
        )
    if not head.startswith(b"PK\x03\x04"):
        return
    if b".gcode" in head or b".gcode" in tail:
        raise ArtefactError(
            "the file is a .gcode.3mf archive for Bambu printers", code="not_gcode", remedy=_PLAIN_GCODE
        )
    if b"3dmodel" in (head + tail).lower() or b"3D/" in head + tail:
        raise _mesh("3MF")
    raise ArtefactError(
        "the file is a ZIP archive", code="not_gcode", remedy="unpack it and queue the G-code"
    )


def _is_binary_stl(head: bytes, size_bytes: int) -> bool:
    """80 bytes of header, a count, 50 bytes per triangle; the header may even begin with "solid"."""
    if len(head) < 84:
        return False
    count = int.from_bytes(head[80:84], "little")
    return size_bytes == 84 + 50 * count and b"\0" in head


def _mesh(kind: str) -> ArtefactError:
    return ArtefactError(
        f"the file is a mesh ({kind}), not G-code", code="mesh_unsupported", remedy=_SLICE_IT
    )
