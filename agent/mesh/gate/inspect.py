"""`inspect`: the one entrance; decides what a file is and refuses what no parser should see."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.archive import is_zip, model_archive
from agent.mesh.gate.bounds import DEFAULT_BOUNDS, GateBounds
from agent.mesh.gate.facts import GateFacts, MeshFormat
from agent.mesh.gate.stl import BINARY_HEAD_BYTES, inspect_stl, is_binary_length
from agent.mesh.gate.text import inspect_amf, inspect_obj, inspect_off, inspect_ply
from agent.mesh.gate.threemf import inspect_3mf

_HEAD_BYTES = 4096
_EXTENSIONS: dict[str, tuple[MeshFormat, ...]] = {
    "stl": (MeshFormat.STL_BINARY, MeshFormat.STL_ASCII),
    "stla": (MeshFormat.STL_ASCII,),
    "stlb": (MeshFormat.STL_BINARY,),
    "3mf": (MeshFormat.THREE_MF,),
    "obj": (MeshFormat.OBJ,),
    "ply": (MeshFormat.PLY,),
    "off": (MeshFormat.OFF,),
    "amf": (MeshFormat.AMF,),
    "step": (MeshFormat.STEP,),
    "stp": (MeshFormat.STEP,),
}
EXTENSIONS = frozenset(_EXTENSIONS)
_SLICED = ("gcode", "gco", "g")
_OBJ_LINE = re.compile(rb"^[ \t]*(?:v|vn|vt|f|o|g|s|mtllib|usemtl|l|p)[ \t]+\S", re.MULTILINE)
_OFF_WORD = re.compile(rb"\s*(?:#[^\n]*\n\s*)*(?:ST)?C?N?OFF\b")

Inspector = Callable[[Path, int, GateBounds], GateFacts]
_INSPECTORS: dict[MeshFormat, Inspector] = {
    MeshFormat.THREE_MF: inspect_3mf,
    MeshFormat.OBJ: inspect_obj,
    MeshFormat.PLY: inspect_ply,
    MeshFormat.OFF: inspect_off,
    MeshFormat.AMF: inspect_amf,
}


def inspect(path: Path, name: str = "", bounds: GateBounds = DEFAULT_BOUNDS) -> GateFacts:
    """Return what the file at `path` is; `name` is what it was called when `path` is content-addressed.

    Reads the file in blocks, never as a whole. Raises MeshFileError with the exact reason.
    """
    size = _size(path, bounds)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    _refuse_foreign_text(head)
    if head.startswith(b"GCDE"):
        raise MeshFileError(
            "the file is binary G-code (.bgcode), which serial printers do not read",
            code="file.unsupported",
            remedy="switch off binary G-code in the slicer and export again",
        )
    extension = (name or path.name).rpartition(".")[2].lower()
    wanted = _EXTENSIONS.get(extension, ())
    found = _recognise(path, head, size, wanted)
    if found is None:
        if wanted and wanted[0] is MeshFormat.STL_BINARY:
            return inspect_stl(path, size, bounds)
        if extension in _SLICED:
            raise MeshFileError(
                f"the file is sliced already (.{extension})",
                code="file.unknown_format",
                remedy="`fabunit analyse` tells whether it can be printed here, `fabunit print` takes it as it is",
            )
        raise MeshFileError(
            f"this is no mesh file that can be read ({extension or 'no extension'})",
            code="file.unknown_format",
            remedy="export it as 3MF or binary STL",
        )
    if wanted and found not in wanted:
        raise MeshFileError(
            f"the file is named .{extension} but holds {found.value.removesuffix('-ascii').upper()}",
            code="file.wrong_extension",
            remedy=f"rename it to .{found.value.removesuffix('-ascii')}, or export it again",
        )
    if found in (MeshFormat.STL_BINARY, MeshFormat.STL_ASCII):
        return inspect_stl(path, size, bounds)
    if found is MeshFormat.STEP:
        return GateFacts(MeshFormat.STEP, size)
    return _INSPECTORS[found](path, size, bounds)


def _size(path: Path, bounds: GateBounds) -> int:
    try:
        facts = path.stat()
    except OSError as error:
        raise MeshFileError(f"{path.name}: {error.strerror}", code="file.unreadable") from error
    if not stat.S_ISREG(facts.st_mode):
        raise MeshFileError(f"{path.name} is not a regular file", code="file.unreadable")
    if facts.st_size == 0:
        raise MeshFileError("the file is empty", code="file.empty", remedy="export it again")
    if facts.st_size > bounds.max_file_bytes:
        raise MeshFileError(
            f"the file has {facts.st_size} bytes, more than {bounds.max_file_bytes}",
            code="file.too_large",
            remedy="reduce the number of triangles",
        )
    return facts.st_size


def _refuse_foreign_text(head: bytes) -> None:
    """UTF-16 and UTF-32 mesh texts exist only by accident; every reader would see garbage."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:8:2] == b"\0\0\0\0" == head[8:16:2]:
        if not head.strip(b"\0"):
            return
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise MeshFileError(
                "the file is UTF-16 text",
                code="file.malformed",
                remedy="save it as UTF-8 or export binary STL",
            )


def _recognise(path: Path, head: bytes, size: int, wanted: tuple[MeshFormat, ...]) -> MeshFormat | None:
    """Name the format by content alone; None when nothing fits."""
    if is_zip(head):
        return _zip_format(path, wanted)
    if len(head) >= BINARY_HEAD_BYTES and is_binary_length(head, size):
        return MeshFormat.STL_BINARY
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = text[:512].lower()
    if lower.startswith((b"ply\n", b"ply\r")):
        return MeshFormat.PLY
    if lower.startswith(b"iso-10303-21"):
        return MeshFormat.STEP
    if lower.startswith(b"<") and (b"<amf" in lower or MeshFormat.AMF in wanted):
        return MeshFormat.AMF
    return _recognise_text(head, text, wanted)


def _recognise_text(head: bytes, text: bytes, wanted: tuple[MeshFormat, ...]) -> MeshFormat | None:
    lower = text[:512].lower()
    if _OFF_WORD.match(text):
        return MeshFormat.OFF
    if lower.startswith(b"solid") and (MeshFormat.STL_ASCII in wanted or b"facet" in text.lower()):
        return MeshFormat.STL_ASCII
    if b"\0" not in head and _OBJ_LINE.search(head):
        return MeshFormat.OBJ
    return None


def _zip_format(path: Path, wanted: tuple[MeshFormat, ...]) -> MeshFormat:
    if MeshFormat.AMF in wanted:
        return MeshFormat.AMF
    with model_archive(path) as archive:
        names = [info.filename.lower() for info in archive.infolist()]
    if len(names) == 1 and names[0].endswith(".amf"):
        return MeshFormat.AMF
    return MeshFormat.THREE_MF
