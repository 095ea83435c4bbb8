"""Why a mesh could not be sliced: one typed reason for everything an engine does wrong."""

from __future__ import annotations

from enum import StrEnum

from agent.domain.errors import FabunitError


class SliceFailure(StrEnum):
    """Reasons; machine-readable, part of events and documents."""

    MESH_REJECTED = "mesh_rejected"
    DOES_NOT_FIT = "does_not_fit"
    EMPTY_RESULT = "empty_result"
    PROFILE_INVALID = "profile_invalid"
    ENGINE_MISSING = "engine_missing"
    ENGINE_CRASHED = "engine_crashed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    OUTPUT_TRUNCATED = "output_truncated"
    GCODE_FORBIDDEN = "gcode_forbidden"
    OUT_OF_VOLUME = "out_of_volume"


REMEDIES = {
    SliceFailure.MESH_REJECTED: "repair the mesh, or export it again as STL",
    SliceFailure.DOES_NOT_FIT: "scale or turn the part, or print it on a larger machine",
    SliceFailure.EMPTY_RESULT: "check the unit of the mesh: it may be too thin or too small to print",
    SliceFailure.PROFILE_INVALID: "correct the profile: `fabunit profile show`",
    SliceFailure.ENGINE_MISSING: "install a slicer: `apt install cura-engine`, or `apt install prusa-slicer`",
    SliceFailure.ENGINE_CRASHED: "try the other engine, or repair the mesh",
    SliceFailure.TIMEOUT: "simplify the mesh, or slice it elsewhere and queue the G-code",
    SliceFailure.OUT_OF_MEMORY: "simplify the mesh, use CuraEngine, or slice it elsewhere and queue the G-code",
    SliceFailure.DISK_FULL: "make room on the disk, then retry",
    SliceFailure.OUTPUT_TRUNCATED: "check the disk, then retry",
    SliceFailure.GCODE_FORBIDDEN: "correct the scripts of the printer profile",
    SliceFailure.OUT_OF_VOLUME: "scale or turn the part, or print it on a larger machine",
}
# The part or the request is at fault; retrying alone changes nothing.
_REFUSALS = frozenset({
    SliceFailure.MESH_REJECTED, SliceFailure.DOES_NOT_FIT, SliceFailure.EMPTY_RESULT, SliceFailure.GCODE_FORBIDDEN,
    SliceFailure.OUT_OF_VOLUME,
})  # fmt: skip


class SliceError(FabunitError):
    """A mesh was not sliced; `code` is a `SliceFailure`. Exit code 4 when the part is at fault, else 1."""

    def __init__(self, failure: SliceFailure, message: str, *, remedy: str = "") -> None:
        super().__init__(message, code=failure.value, remedy=remedy or REMEDIES[failure])
        self.failure = failure
        if failure in _REFUSALS:
            self.exit_code = 4
            self.http_status = 422
