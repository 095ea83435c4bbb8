"""Failures of a mesh file, named so that each can become a finding."""

from __future__ import annotations

from agent.domain.errors import ArtefactError

_AGAIN = "copy or export it again"
_REMEDIES = {
    "file.empty": _AGAIN,
    "file.unreadable": "check its owner and permissions",
    "file.unknown_format": "export it as 3MF or binary STL",
    "file.wrong_extension": _AGAIN,
    "file.truncated": _AGAIN,
    "file.count_mismatch": _AGAIN,
    "file.malformed": _AGAIN,
    "file.hostile": "export it again from the program it was drawn in; do not use it as it is",
    "file.too_large": "reduce the number of triangles",
    "file.unsupported": "export it as 3MF or binary STL",
    "mesh.empty": "export it again with a part on the plate",
    "mesh.nonfinite": _AGAIN,
    "size.absurd": "check the unit it was exported in",
}
"""What helps where nothing more exact can be said."""


class MeshFileError(ArtefactError):
    """A mesh file that cannot be read safely or has nothing to print.

    `code` is the id of the finding it becomes: file.empty, file.unreadable, file.unknown_format, file.wrong_extension,
    file.truncated, file.count_mismatch, file.malformed, file.hostile, file.too_large, file.unsupported, mesh.empty,
    mesh.nonfinite, size.absurd.
    """

    code = "file.malformed"

    def __init__(self, message: str, *, code: str | None = None, remedy: str = "") -> None:
        super().__init__(message, code=code, remedy=remedy or _REMEDIES.get(code or self.code, ""))
