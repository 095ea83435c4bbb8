"""`read`: the reader for what the gate let through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.facts import GateFacts, MeshFormat
from agent.mesh.load.amf import read_amf
from agent.mesh.load.obj import read_obj
from agent.mesh.load.off import read_off
from agent.mesh.load.ply import read_ply
from agent.mesh.load.source import StlSource, TriangleSource
from agent.mesh.load.step import read_step
from agent.mesh.load.stl import read_ascii
from agent.mesh.load.threemf import read_3mf

_READERS: dict[MeshFormat, Callable[[Path, float], TriangleSource]] = {
    MeshFormat.OBJ: read_obj,
    MeshFormat.PLY: read_ply,
    MeshFormat.OFF: read_off,
    MeshFormat.AMF: read_amf,
    MeshFormat.STEP: read_step,
}


def read(path: Path, facts: GateFacts, scale: float = 1.0) -> TriangleSource:
    """Return the triangles of the file in mm; `scale` multiplies what the file says. Raises MeshFileError."""
    if facts.format is MeshFormat.STL_BINARY:
        return StlSource(path, facts.triangles or 0, scale)
    if facts.format is MeshFormat.STL_ASCII:
        return read_ascii(path, facts.triangles or 0, scale)
    if facts.format is MeshFormat.THREE_MF:
        if facts.plan is None:
            raise MeshFileError("the 3MF has no build plan", code="file.malformed")
        return read_3mf(path, facts.plan, scale)
    return _READERS[facts.format](path, scale)
