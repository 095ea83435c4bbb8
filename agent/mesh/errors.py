"""Failures of a mesh file, named so that each can become a finding."""

from __future__ import annotations

from agent.domain.errors import ArtefactError


class MeshFileError(ArtefactError):
    """A mesh file that cannot be read safely or has nothing to print.

    `code` is the id of the finding it becomes: file.empty, file.unreadable, file.unknown_format, file.wrong_extension,
    file.truncated, file.count_mismatch, file.malformed, file.hostile, file.too_large, file.unsupported, mesh.empty,
    mesh.nonfinite, size.absurd.
    """

    code = "file.malformed"
