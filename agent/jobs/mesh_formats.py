"""Which jobs are meshes. Pure, and without the weight of what works on them."""

from __future__ import annotations

from agent.domain.job import Job

MESH_FORMATS = frozenset({"stl", "3mf", "obj", "ply", "off", "amf", "step"})


def is_mesh(job: Job) -> bool:
    """Whether the job's file has to be sliced before it can be printed."""
    return job.artefact_format in MESH_FORMATS


def is_mesh_name(name: str) -> bool:
    """Whether a file of this name is taken for a mesh before anything of it was read."""
    return name.rpartition(".")[2].lower() in (*MESH_FORMATS, "stp")
