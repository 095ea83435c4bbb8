"""What a unit makes of a file and keeps beside it, by place: checked G-code, reports, slices, pictures."""

from __future__ import annotations

from pathlib import Path

CHECKS = "checks"
SLICES = "slices"
PICTURES = "pictures"


def erase(state_dir: Path, prepared_dir: Path, artefact_sha256: str) -> None:
    """Delete everything that was made of the file with this digest. Blocking. Raises OSError.

    G-code under the digest of its own bytes is the caller's: another job may have come to the same.
    """
    from agent.slicing.slice_shelf import SliceShelf  # noqa: PLC0415 - a unit without meshes never needs it

    for facts in prepared_dir.glob(f"{artefact_sha256}.*.json"):
        facts.unlink(missing_ok=True)
    for report in (state_dir / CHECKS).glob(f"{artefact_sha256}.*"):
        report.unlink(missing_ok=True)
    (state_dir / PICTURES / f"{artefact_sha256}.png").unlink(missing_ok=True)
    SliceShelf(state_dir / SLICES).drop(artefact_sha256)
